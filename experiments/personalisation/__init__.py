"""Personalisation on patients: training alone, together, or together and then alone."""
