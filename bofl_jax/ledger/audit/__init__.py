"""Replays and checks a recorded chain, answers questions about its history, and proves contributions."""
