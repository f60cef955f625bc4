"""A small run that writes every result file and every optional key."""

from pathlib import Path

import bofl_jax as bofl
from tests.support.tiny import tiny_config, write_arrays

GATES = {"utility": 0.0, "distance": 0.0, "diversity": 0.0, "margin": 10.0, "membership": 1.0, "copies": 1.0}


def make_complete_run(folder: Path) -> Path:
    """Run six clients with synthetic samples, contributions and explanations; returns the run directory."""
    config = tiny_config(write_arrays(folder / "own.npz")) | {
        "model": {"name": "linear"},
        "synthesis": {"generator": "oversample", "dose": 0.3, "rare_share": 0.4, "gates": GATES},
        "evaluate": {"every": 2, "explain": 4, "contribution": "gtg"},
    }
    return bofl.run(bofl.load_config(config), out=folder / "run").directory
