"""One file a generator of synthetic samples."""
