"""The experiments: each folder is one study that a command trains, and another turns into tables."""
