"""Figures and tables of benchmarks: costs of the ledger, and the comparison with other simulators."""
