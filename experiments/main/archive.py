"""The counts of all trainings of a study: in a work folder, or in one small file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import bofl_jax as bofl
from experiments.common.files import Arrays, WorkFolder, read_arrays
from experiments.main.plan import Study

_ALWAYS = ("names", "clients", "sizes", "seconds", "machine", "synthetic")


class CountSource(Protocol):
    """Where the counts of a study's trainings are read from."""

    def complete_seeds(self, trainings: Sequence[tuple[str, str]]) -> list[int]:
        """The seeds for which every protocol and arm is finished."""

    def stacked(self, training: tuple[str, str], seeds: Sequence[int]) -> dict[str, Any]:
        """Read the counts of one training.

        Args:
            training: protocol and arm.
            seeds: the complete seeds.

        Returns:
            Name -> the arrays of all seeds ``[S, ...]``, or a list where the number of clients differs.
        """


class FolderSource:
    """Counts in the work folder that `run` fills."""

    def __init__(self, work: Path) -> None:
        self._folder = WorkFolder(work)

    def complete_seeds(self, trainings: Sequence[tuple[str, str]]) -> list[int]:
        """The seeds for which every protocol and arm is finished."""
        return self._folder.complete_seeds(trainings)

    def stacked(self, training: tuple[str, str], seeds: Sequence[int]) -> dict[str, Any]:
        """Read the counts of one training, as in `CountSource`."""
        by_seed = [read_arrays(self._folder.file(training, seed)) for seed in seeds]
        return {name: _stack([arrays[name] for arrays in by_seed]) for name in by_seed[0]}


class ArchiveSource:
    """Counts in the one file of a study, which is committed.

    Raises:
        BoflError: if there is no such file.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise bofl.BoflError(f"{path} is missing: name the folder of the finished trainings with --work")
        self._arrays = read_arrays(path)

    def complete_seeds(self, trainings: Sequence[tuple[str, str]]) -> list[int]:
        """The seeds of the file, if it holds every protocol and arm."""
        complete = all(f"{protocol}-{arm}/names" in self._arrays for protocol, arm in trainings)
        return self._arrays["seeds"].tolist() if complete else []

    def stacked(self, training: tuple[str, str], seeds: Sequence[int]) -> dict[str, Any]:
        """Read the counts of one training with all seeds of the file, as in `CountSource`."""
        del seeds
        prefix = f"{'-'.join(training)}/"
        return {name.removeprefix(prefix): a for name, a in self._arrays.items() if name.startswith(prefix)}


def select_arrays(study: Study, training: tuple[str, str], counts: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays that a study's tables are computed from.

    Args:
        study: the study.
        training: protocol and arm.
        counts: the arrays of the training.

    Raises:
        BoflError: if an array is missing.
    """
    kinds = {"confusion"}
    kinds |= {"points"} if any(name.startswith("recall_at_spec95") for name in study.metrics) else set()
    kinds |= {"gaps"} if "ece" in study.metrics else set()
    kinds |= {"hits"} if {"jain", "worst_10_percent"} & set(study.metrics) else set()
    models = {row.model for row in study.rows + study.full_rows if (row.protocol, row.arm) == training}
    is_ablation = any(row.factors for row in study.rows)
    wanted = {f"{model}_{kind}" for model in models for kind in kinds | ({"digest"} if is_ablation else set())}
    curves = {row.model for row in study.curves if (row.protocol, row.arm) == training}
    wanted |= {f"{model}_{kind}" for model in curves for kind in ("rounds", "by_round")}
    missing = wanted - counts.keys()
    if missing:
        raise bofl.BoflError(
            f"the results of {'-'.join(training)} lack {min(missing)}: remove its files and run the study again"
        )
    return {name: counts[name] for name in (*_ALWAYS, *sorted(wanted))}


def archived(counts: Mapping[tuple[str, str], Mapping[str, Any]], seeds: Sequence[int]) -> Arrays:
    """The arrays of an archive: the seeds, and ``PROTOCOL-ARM/NAME`` for each array of each training.

    Args:
        counts: (protocol, arm) -> the arrays of the training.
        seeds: the seeds along the first axis of each array.
    """
    found: Arrays = {"seeds": np.array(seeds, np.int32)}
    for training, arrays in counts.items():
        found |= {f"{'-'.join(training)}/{name}": padded(array) for name, array in arrays.items()}
    return found


def padded(by_seed: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """The arrays of all seeds as one; padded with zeros where the number of clients differs from seed to seed."""
    if isinstance(by_seed, np.ndarray):
        return by_seed
    longest = max(map(len, by_seed))
    return np.stack([np.pad(one, (0, longest - len(one))) for one in by_seed])


def _stack(arrays: list[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    return np.stack(arrays) if len({array.shape for array in arrays}) == 1 else arrays
