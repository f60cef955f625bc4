"""The main studies: what personalisation, governed synthetic samples and the ledger each contribute."""
