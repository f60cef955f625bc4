"""Federated training: the problem, the rounds, personalisation and prediction."""
