"""Published numbers, regenerated: one command for each table."""
