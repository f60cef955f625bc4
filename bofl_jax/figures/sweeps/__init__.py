"""Figures and tables of a sweep: means over seeds with their intervals."""
