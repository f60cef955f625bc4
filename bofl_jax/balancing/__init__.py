"""Governed balancing with synthetic samples."""
