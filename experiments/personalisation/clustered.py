"""Metrics of confusion matrices, and what chance may do to them when people, not beats, are drawn anew."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from scipy import stats

from bofl_jax import evaluate

RESAMPLES, PERMUTATIONS = 2000, 4999


class Scores(NamedTuple):
    """One row of a table: every person's confusion matrices, int[S, P, K, K], of S seeds and P people."""

    every: np.ndarray  # of all test samples
    unseen: np.ndarray  # of those of classes of which the client has no labelled sample


METRICS: dict[str, tuple[str, Callable]] = {
    "accuracy": ("every", evaluate.accuracy),
    "macro_f1": ("every", evaluate.macro_f1),
    "unseen_class_recall": ("unseen", evaluate.accuracy),
}
"""Which matrices of a row, and what is made of them once they are added up."""


def scores(confusions: np.ndarray, labelled: np.ndarray, person: np.ndarray) -> Scores:
    """Add up the clients of each person.

    Args:
        confusions: int[S, C, K, K], true class by predicted class.
        labelled: int[S, C, K], labelled samples of each client.
        person: int[C], whose client it is.
    """
    belongs = np.equal.outer(np.arange(person.max() + 1), person).astype(int)
    unseen = np.where(labelled[..., None] == 0, confusions, 0)
    return Scores(*(np.einsum("pc,scij->spij", belongs, part) for part in (confusions, unseen)))


@functools.cache
def _compiled(metric: Callable) -> Callable:
    return jax.jit(jax.vmap(metric))


def of_matrices(metric: Callable, matrices: np.ndarray) -> np.ndarray:
    """A metric of one confusion matrix, of each of int[..., K, K]."""
    flat = matrices.reshape(-1, *matrices.shape[-2:])
    found = np.asarray(_compiled(metric)(flat), np.float64)
    return found.reshape(*matrices.shape[:-2], *found.shape[1:])


def of_seeds(name: str, row: Scores) -> np.ndarray:
    """float[S]: the metric over all people, seed by seed."""
    kind, metric = METRICS[name]
    return of_matrices(metric, getattr(row, kind).sum(axis=1))


def _mean_over_seeds(name: str, row: Scores, weight: np.ndarray) -> np.ndarray:
    """float[...]: people counted ``weight`` [..., P] times, mean over the seeds."""
    kind, metric = METRICS[name]
    return of_matrices(metric, np.einsum("...p,spij->...sij", weight, getattr(row, kind))).mean(axis=-1)


def interval(name: str, row: Scores, other: Scores | None = None) -> tuple[float, float]:
    """95 % percentile interval of a metric, or of its difference from another row's, over draws of people.

    Every call draws the same people, so that differences are paired.
    """
    people = row.every.shape[1]

    def statistic(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        assert axis == -1
        weight = np.equal.outer(drawn, np.arange(people)).sum(axis=-2)
        minus = 0 if other is None else _mean_over_seeds(name, other, weight)
        return _mean_over_seeds(name, row, weight) - minus

    settings = {"n_resamples": RESAMPLES, "method": "percentile", "vectorized": True, "batch": 500}
    found = stats.bootstrap((np.arange(people),), statistic, **settings, rng=np.random.default_rng(0))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def p_value(name: str, row: Scores, other: Scores) -> float:
    """Two-sided permutation test of two rows: for every person, which result belongs to which row is tossed anew."""
    people = row.every.shape[1]
    both = Scores(*(np.concatenate(pair, axis=1) for pair in zip(row, other, strict=True)))

    def statistic(mine: np.ndarray, yours: np.ndarray, axis: int = -1) -> np.ndarray:
        assert axis == -1
        weights = (np.equal.outer(index, np.arange(2 * people)).sum(axis=-2) for index in (mine, yours))
        one, two = (_mean_over_seeds(name, both, weight) for weight in weights)
        return one - two

    settings = {"permutation_type": "samples", "n_resamples": PERMUTATIONS, "vectorized": True, "batch": 500}
    sides = (np.arange(people), np.arange(people, 2 * people))
    return float(stats.permutation_test(sides, statistic, **settings, rng=np.random.default_rng(0)).pvalue)
