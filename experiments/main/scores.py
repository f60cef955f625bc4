"""Metrics of one row of a study, over draws of people and seeds."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from pieces import GAP_UNIT, RARE

from bofl_jax import metrics
from bofl_jax.metrics.report import NSV
from bofl_jax.metrics.statistics import Metric, Statistic

CLASSES = ("N", "S", "V", "F")
RESAMPLES, PERMUTATIONS = 2000, 4999


class Evidence(NamedTuple):
    """What one row is measured from, of S seeds and P people; two rows that are compared have the same, in order."""

    confusion: np.ndarray  # int[S, P, K, K]
    points: np.ndarray | None  # int[S, P, A, 2, G + 1], see `pieces`
    gaps: np.ndarray | None  # int[S, P, BINS]
    hits: np.ndarray | None  # int[S, C]
    sizes: np.ndarray  # int[S, C], test samples of each client
    clients: np.ndarray  # int[S], C
    person: np.ndarray | None  # int[C], whose client it is; None where a client is no person


def macro_f1_nsv(matrix: jax.Array) -> jax.Array:
    """Mean F1 of those of N, S and V that have samples."""
    return jnp.nanmean(metrics.f1(matrix)[: len(NSV)])


@functools.cache
def matrix_metric(name: str) -> Metric | None:
    """The metric of one confusion matrix of that name; None where it needs more than the matrix."""
    known: dict[str, Metric] = {
        "accuracy": metrics.accuracy,
        "macro_f1": metrics.macro_f1,
        "macro_f1_nsv": macro_f1_nsv,
    }
    kind, _, label = name.partition("_")
    if kind in ("recall", "precision") and label in CLASSES:
        of_all, index = getattr(metrics, kind), CLASSES.index(label)
        return lambda matrix: of_all(matrix)[index]
    return known.get(name)


def by_seed(name: str, row: Evidence, people: np.ndarray) -> np.ndarray:
    """float64[B, S]: a metric of each seed, with person p counted ``people`` int[B, P] times."""
    metric = matrix_metric(name)
    if metric:
        return metrics.of_matrices(metric, np.einsum("bp,spij->bsij", people, row.confusion))
    if name.startswith("recall_at_spec95_"):
        return recall_at_specificity(row.points[:, :, RARE.index(name[-1])], people)
    if name == "ece":
        gaps = np.abs(np.einsum("bp,spk->bsk", people, row.gaps)).sum(axis=-1) * GAP_UNIT
        return gaps / np.einsum("bp,spij->bs", people, row.confusion)
    if name == "clients":
        return np.broadcast_to(row.clients, (len(people), len(row.clients))).astype(float)
    return spread_over_clients(name, row, people)


def recall_at_specificity(points: np.ndarray, people: np.ndarray) -> np.ndarray:
    """float64[B, S]: recall at the lowest threshold that leaves a specificity of .95 among the people drawn.

    With everyone drawn once it is `bofl_jax.evaluate.recall_at_specificity`; other draws choose among the G thresholds.

    Args:
        points: int[S, P, 2, G + 1].
        people: int[B, P].
    """
    reached = np.einsum("bp,spcg->bscg", people, points)
    at_least = np.flip(np.flip(reached, -1).cumsum(axis=-1), -1)  # [..., g]: samples that reach g thresholds or more
    negatives, positives = at_least[..., 0, :], at_least[..., 1, :]
    fits = 1000 * negatives[..., 1:] <= 50 * negatives[..., :1]
    first = np.where(fits.any(axis=-1), fits.argmax(axis=-1), fits.shape[-1] - 1)
    hits = np.take_along_axis(positives[..., 1:], first[..., None], axis=-1)[..., 0]
    return np.where(positives[..., 0] > 0, hits / np.maximum(positives[..., 0], 1), np.nan)


def spread_over_clients(name: str, row: Evidence, people: np.ndarray) -> np.ndarray:
    """float64[B, S]: how evenly accuracy is spread, every client counted as often as its person is drawn."""
    tested = row.sizes[0] > 0
    accuracy = row.hits[:, tested] / row.sizes[:, tested]
    often = people[:, row.person[tested]]
    measure = {"jain": _jain, "worst_10_percent": _worst_tenth}[name]
    return np.stack([measure(of_seed, often) for of_seed in accuracy], axis=1)


def _jain(accuracy: np.ndarray, often: np.ndarray) -> np.ndarray:
    return (often @ accuracy) ** 2 / (often.sum(axis=1) * (often @ accuracy**2))


def _worst_tenth(accuracy: np.ndarray, often: np.ndarray) -> np.ndarray:
    """Mean of the ceil(0.1 C) lowest of C accuracies, ``often`` [B, C] times each."""
    order = np.argsort(accuracy, kind="stable")
    often = often[:, order]
    lowest = -(-often.sum(axis=1) // 10)
    before = often.cumsum(axis=1) - often
    taken = np.clip(lowest[:, None] - before, 0, often)
    return taken @ accuracy[order] / lowest


def statistic(name: str, row: Evidence, other: Evidence | None = None) -> Statistic:
    """Mean over the seeds of a metric of all people, less another row's where it is given."""
    if matrix_metric(name):
        return metrics.over_people(matrix_metric(name), row.confusion, None if other is None else other.confusion)

    def mean(people: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        found = by_seed(name, row, people) - (0.0 if other is None else by_seed(name, other, people))
        return np.sum(np.where(seeds > 0, seeds * found, 0), axis=1) / seeds.sum(axis=1)

    return mean


def measured(name: str, row: Evidence) -> dict[str, Any]:
    """Mean and standard deviation over the seeds, and the 95 % interval over people and seeds."""
    seeds, people = row.confusion.shape[:2]
    each = by_seed(name, row, np.ones((1, people), int))[0]
    found = {"mean": float(each.mean()), "sd": float(each.std(ddof=1)) if seeds > 1 else None}
    if name == "clients" or people < 2:
        return found | {"interval": None}
    drawn = metrics.clustered_bootstrap(statistic(name, row), people, seeds, resamples=RESAMPLES)
    return found | {"interval": [drawn.low, drawn.high]}


def difference(name: str, row: Evidence, other: Evidence) -> dict[str, Any]:
    """How much better a row is than another, in a metric of the confusion matrix."""
    seeds, people = row.confusion.shape[:2]
    everyone = np.ones((1, people), int)
    each = [by_seed(name, one, everyone)[0] for one in (row, other)]
    drawn = metrics.clustered_bootstrap(statistic(name, row, other), people, seeds, resamples=RESAMPLES)
    return {
        "mean": drawn.estimate,
        "interval": [drawn.low, drawn.high],
        "p": metrics.paired_permutation(matrix_metric(name), row.confusion, other.confusion, PERMUTATIONS),
        "p_wilcoxon_over_seeds": metrics.wilcoxon(*each),
    }
