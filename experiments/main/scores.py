"""Metrics of one row of a study, over draws of people and seeds."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import metrics
from bofl_jax.metrics import MatrixMetric, Statistic
from experiments.common.contrasts import sd_over_seeds
from experiments.main.counts import GAP_UNIT, RARE

CLASSES = ("N", "S", "V", "F")
RESAMPLES, PERMUTATIONS = 2000, 4999


class RowCounts(NamedTuple):
    """Counts of one row, for S seeds and P people. Rows that are compared have the same people in the same order."""

    confusion: np.ndarray  # int[S, P, K, K]
    points: np.ndarray | None  # int[S, P, A, 2, G + 1], see `counts`
    gaps: np.ndarray | None  # int[S, P, BINS]
    hits: np.ndarray | None  # int[S, C]
    sizes: np.ndarray  # int[S, C], test samples of each client
    clients: np.ndarray  # int[S], C
    person: np.ndarray | None  # int[C], the person of each client; None where clients are no people


def macro_f1_nsv(matrix: jax.Array) -> jax.Array:
    """Mean F1 of those of N, S and V that have samples."""
    return jnp.nanmean(metrics.f1(matrix)[:3])


@functools.cache
def matrix_metric(name: str) -> MatrixMetric | None:
    """The metric of one confusion matrix with that name; None if the metric needs more than the matrix."""
    known: dict[str, MatrixMetric] = {
        "accuracy": metrics.accuracy,
        "macro_f1": metrics.macro_f1,
        "macro_f1_nsv": macro_f1_nsv,
    }
    kind, _, label = name.partition("_")
    if kind in ("recall", "precision") and label in CLASSES:
        per_class, index = getattr(metrics, kind), CLASSES.index(label)
        return lambda matrix: per_class(matrix)[index]
    return known.get(name)


def metric_of_draws(name: str, row: RowCounts, people: np.ndarray) -> np.ndarray:
    """float64[B, S]: a metric of each seed, in each of B draws of people.

    Args:
        name: name of the metric.
        row: counts of the row.
        people: int[B, P], how often each person is drawn.
    """
    metric = matrix_metric(name)
    if metric:
        return metrics.map_matrices(metric, np.einsum("bp,spij->bsij", people, row.confusion))
    if name.startswith("recall_at_spec95_"):
        return recall_at_specificity(row.points[:, :, RARE.index(name[-1])], people)
    if name == "ece":
        gaps = np.abs(np.einsum("bp,spk->bsk", people, row.gaps)).sum(axis=-1) * GAP_UNIT
        return gaps / np.einsum("bp,spij->bs", people, row.confusion)
    if name == "clients":
        return np.broadcast_to(row.clients, (len(people), len(row.clients))).astype(float)
    return client_metric(name, row, people)


def recall_at_specificity(points: np.ndarray, people: np.ndarray) -> np.ndarray:
    """float64[B, S]: recall at the lowest threshold with a specificity of at least .95 among the people drawn.

    With everyone drawn once it equals `bofl_jax.metrics.recall_at_specificity`; other draws choose among the G
    thresholds.

    Args:
        points: int[S, P, 2, G + 1].
        people: int[B, P].
    """
    reached = np.einsum("bp,spcg->bscg", people, points)
    at_least = np.flip(np.flip(reached, -1).cumsum(axis=-1), -1)  # [..., g]: samples that reach g thresholds or more
    negatives, positives = at_least[..., 0, :], at_least[..., 1, :]
    specific = 1000 * negatives[..., 1:] <= 50 * negatives[..., :1]
    first = np.where(specific.any(axis=-1), specific.argmax(axis=-1), specific.shape[-1] - 1)
    hits = np.take_along_axis(positives[..., 1:], first[..., None], axis=-1)[..., 0]
    return np.where(positives[..., 0] > 0, hits / np.maximum(positives[..., 0], 1), np.nan)


def client_metric(name: str, row: RowCounts, people: np.ndarray) -> np.ndarray:
    """float64[B, S]: fairness of the clients' accuracies; a client counts as often as its person is drawn.

    Args:
        name: ``jain`` or ``worst_10_percent``.
        row: counts of the row.
        people: int[B, P], how often each person is drawn.
    """
    tested = row.sizes[0] > 0
    accuracy = row.hits[:, tested] / row.sizes[:, tested]
    repeats = people[:, row.person[tested]]
    measure = {"jain": _jain, "worst_10_percent": _worst_tenth}[name]
    return np.stack([measure(of_seed, repeats) for of_seed in accuracy], axis=1)


def _jain(accuracy: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    return (repeats @ accuracy) ** 2 / (repeats.sum(axis=1) * (repeats @ accuracy**2))


def _worst_tenth(accuracy: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """Mean of the ceil(0.1 C) lowest of C accuracies, each repeated ``repeats`` [B, C] times."""
    order = np.argsort(accuracy, kind="stable")
    repeats = repeats[:, order]
    lowest = -(-repeats.sum(axis=1) // 10)
    before = repeats.cumsum(axis=1) - repeats
    counted = np.clip(lowest[:, None] - before, 0, repeats)
    return counted @ accuracy[order] / lowest


def statistic(name: str, row: RowCounts) -> Statistic:
    """The mean over the seeds of a metric of all people, as a function of the draws.

    Args:
        name: name of the metric.
        row: counts of the row.
    """
    metric = matrix_metric(name)
    if metric:
        return metrics.resampled_metric(metric, row.confusion)

    def mean(people: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        by_seed = metric_of_draws(name, row, people)
        return np.sum(np.where(seeds > 0, seeds * by_seed, 0), axis=1) / seeds.sum(axis=1)

    return mean


def summarise(name: str, row: RowCounts) -> dict[str, Any]:
    """Mean and standard deviation of a metric over the seeds, and its 95 % interval over people and seeds.

    Args:
        name: name of the metric.
        row: counts of the row.
    """
    seeds, people = row.confusion.shape[:2]
    by_seed = metric_of_draws(name, row, np.ones((1, people), int))[0]
    found = {"mean": float(by_seed.mean()), "sd": sd_over_seeds(by_seed)}
    if name == "clients" or people < 2:
        return found | {"interval": None}
    drawn = metrics.clustered_bootstrap(statistic(name, row), people, seeds, resamples=RESAMPLES)
    return found | {"interval": [drawn.low, drawn.high]}


def difference(name: str, row: RowCounts, reference: RowCounts) -> dict[str, Any]:
    """The difference of a row from its reference, in a metric of the confusion matrix.

    Args:
        name: name of the metric.
        row: counts of the row.
        reference: counts of the row that is subtracted.
    """
    metric = matrix_metric(name)
    assert metric is not None
    seeds, people = row.confusion.shape[:2]
    everyone = np.ones((1, people), int)
    by_seed = [metric_of_draws(name, one, everyone)[0] for one in (row, reference)]
    gap = metrics.resampled_metric(metric, row.confusion, reference.confusion)
    drawn = metrics.clustered_bootstrap(gap, people, seeds, resamples=RESAMPLES)
    return {
        "mean": drawn.estimate,
        "interval": [drawn.low, drawn.high],
        "p": metrics.paired_permutation(metric, row.confusion, reference.confusion, PERMUTATIONS),
        "p_wilcoxon_over_seeds": metrics.wilcoxon(*by_seed),
    }
