"""Electrocardiograms: MIT-BIH and other WFDB records, the simulator, filters, beats and features."""
