"""The files of a ledger: their layout, and how each one is written, read and checked."""
