"""What is kept of a training and its test: counts that all metrics, and their intervals over people, are made from."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from training import Tested

from bofl_jax.metrics import confusions

Arrays = dict[str, np.ndarray]
RARE = ("S", "V")
"""A, classes whose recall is read at a wanted specificity."""
SPECIFICITIES = np.array([0, 400, 600, 700, 800, 850, *range(900, 1001, 5)])
"""G operating points, in thousandths: between them a draw of people cannot choose."""
BINS = 15
GAP_UNIT = 0.01
"""Of 80 000 test samples, rounding to it moves an ECE by at most 4e-5."""


def piece_of(tested: Tested, seconds: float, machine: str) -> Arrays:
    """Everything of a training, its test samples counted by subject (not by client: they differ in Dirichlet splits).

    Returns:
        ``names`` [P], ``clients`` (C), ``sizes`` int32[C] (test samples), ``seconds``, ``machine``, ``synthetic``, and
        for each model M ``M_confusion`` int32[P, K, K], ``M_hits`` int32[C], ``M_points`` int32[P, A, 2, G + 1],
        ``M_gaps`` int32[P, BINS], ``M_digest`` uint8[32] of the probabilities' bytes and, where it was followed,
        ``M_rounds`` and ``M_by_round``.
    """
    found = {
        "names": np.array(tested.subjects),
        "clients": np.int32(tested.clients),
        "sizes": np.bincount(tested.client, minlength=tested.clients).astype(np.int32),
        "seconds": np.float64(seconds),
        "machine": np.array(machine),
        "synthetic": np.int32(tested.synthetic),
    }
    for model, probability in tested.probability.items():
        found |= {f"{model}_{name}": array for name, array in _counts(tested, probability).items()}
        if model in tested.by_round:
            rounds, scores = zip(*tested.by_round[model], strict=True)
            found |= {f"{model}_rounds": np.int32(rounds), f"{model}_by_round": np.float64(scores)}
    return found


def _counts(tested: Tested, probability: np.ndarray) -> Arrays:
    subjects, right = len(tested.subjects), probability.argmax(axis=1) == tested.label
    digest = hashlib.sha256(np.ascontiguousarray(probability).tobytes()).digest()
    return {
        "confusion": np.asarray(confusions(probability, tested.label, tested.subject, subjects)),
        "hits": np.bincount(tested.client, right, tested.clients).astype(np.int32),
        "points": np.stack([_points(tested, probability, name) for name in RARE if name in tested.classes], axis=1),
        "gaps": _gaps(tested, probability.max(axis=1), right),
        "digest": np.frombuffer(digest, np.uint8),
    }


def _points(tested: Tested, probability: np.ndarray, name: str) -> np.ndarray:
    """int32[P, 2, G + 1]: other samples and samples of a class, by how many of its thresholds they reach."""
    index = tested.classes.index(name)
    own = tested.label == index
    score = probability[:, index]
    reached = np.searchsorted(thresholds(score, ~own), score, side="right")
    counts = np.zeros((len(tested.subjects), 2, len(SPECIFICITIES) + 1), np.int32)
    np.add.at(counts, (tested.subject, own.astype(int), reached), 1)
    return counts


def thresholds(score: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """float32[G], rising: the lowest scores seen at which the specificity is at least each of `SPECIFICITIES`.

    Those of `bofl_jax.evaluate.threshold_at_specificity`, for one class and all operating points.

    Args:
        score: float32[N].
        negative: bool[N], which samples are not of the class.
    """
    below, everything = np.sort(score[negative])[::-1], np.sort(score)
    allowed = len(below) * (1000 - SPECIFICITIES) // 1000
    highest = np.append(below, -np.inf)[allowed]
    return np.append(everything, np.inf)[np.searchsorted(everything, highest, side="right")]


def _gaps(tested: Tested, confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """int32[P, BINS]: sums of right less confidence, in `GAP_UNIT`, in the bins of equal mass of `evaluate.ece`."""
    lower = np.searchsorted(np.sort(confidence), confidence, side="left")
    gaps = np.zeros((len(tested.subjects), BINS))
    np.add.at(gaps, (tested.subject, BINS * lower // len(lower)), right - confidence.astype(np.float64))
    return np.rint(gaps / GAP_UNIT).astype(np.int32)


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write whole or not at all; the same arrays give the same bytes."""
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, allow_pickle=False, **arrays)
    partial.replace(path)


def read(path: Path) -> Arrays:
    """All arrays of a file."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


class Folder:
    """The finished pieces of a work folder."""

    def __init__(self, work: Path) -> None:
        self.work = work

    def path(self, protocol: str, arm: str, seed: int) -> Path:
        """Where run.py puts a piece."""
        return self.work / f"{protocol}-{arm}-seed{seed}.npz"

    def seeds(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """The seeds of which every protocol and arm is there."""
        found = {int(path.stem.rpartition("seed")[2]) for path in self.work.glob("*-seed*.npz")}
        return [seed for seed in sorted(found) if all(self.path(*pair, seed).exists() for pair in pairs)]

    def stacked(self, protocol: str, arm: str, seeds: Sequence[int]) -> dict[str, Any]:
        """name -> the arrays of all seeds, [S, ...] or, where clients differ from seed to seed, a list."""
        by_seed = [read(self.path(protocol, arm, seed)) for seed in seeds]
        return {name: _stack([arrays[name] for arrays in by_seed]) for name in by_seed[0]}


def _stack(arrays: list[np.ndarray]) -> Any:
    return np.stack(arrays) if len({array.shape for array in arrays}) == 1 else arrays
