"""Figures and tables of a sweep: means over seeds, and how sure they are."""
