"""Tables of the comparison with other simulators, read from the results of ``benchmarks/peers/run.py``."""
