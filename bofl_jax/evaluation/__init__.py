"""Evaluation of a finished run: metrics, reliability, group fairness, client contributions, explanations."""
