"""Says what the predictions of a run show."""
