"""Figures and tables of a study: a published experiment of many runs, read from its result file."""
