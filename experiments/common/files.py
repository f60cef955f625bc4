"""Result files of trainings in a work folder."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def read_arrays(path: Path) -> Arrays:
    """All arrays of an ``.npz`` file."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def training_name(parts: Sequence[str], seed: int) -> str:
    """Name of one training with one seed, for its file or run directory.

    Args:
        parts: names that identify the training.
        seed: root seed.

    >>> training_name(["P1", "fedavg"], 3)
    'P1-fedavg-seed3'
    """
    return f"{'-'.join(parts)}-seed{seed}"


class WorkFolder:
    """The finished results of trainings: one ``.npz`` file for each training and seed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, parts: Sequence[str], seed: int) -> Path:
        """The file of one training.

        Args:
            parts: names that identify the training, such as protocol and arm.
            seed: root seed of the training.
        """
        return self.path / f"{training_name(parts, seed)}.npz"

    def complete_seeds(self, trainings: Iterable[Sequence[str]]) -> list[int]:
        """The seeds for which every training is finished."""
        wanted = list(trainings)
        matches = (re.search(r"-seed(\d+)\.npz$", file.name) for file in self.path.glob("*.npz"))
        seeds = sorted({int(match[1]) for match in matches if match})
        return [seed for seed in seeds if all(self.file(parts, seed).exists() for parts in wanted)]
