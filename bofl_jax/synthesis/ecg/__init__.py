"""The mechanistic generator of ECG beats."""
