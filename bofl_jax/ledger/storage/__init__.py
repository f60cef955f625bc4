"""Files of a ledger: blocks, leaves and their layout."""
