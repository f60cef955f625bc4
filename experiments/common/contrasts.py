"""Paired comparisons of models: intervals over people, and p-values of many comparisons at once.

Confusion matrices are int[S, P, K, K] here: S seeds, P people, true class by predicted class. Two models that are
compared have the same seeds and people, in the same order.
"""

from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np

from bofl_jax.data import persons_of_records
from bofl_jax.metrics import Interval, MatrixMetric, clustered_bootstrap, holm, map_matrices, resampled_metric


def person_index(records: Sequence[str]) -> np.ndarray:
    """int[C]: the person of each MIT-BIH record, numbered in the order of their names.

    >>> person_index(["200", "201", "202", "203"]).tolist()
    [0, 1, 1, 2]
    """
    return np.unique(persons_of_records(map(str, records)), return_inverse=True)[1]


def sum_by_person(counts: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Add up the clients of each person: ``[S, C, ...]`` to ``[S, P, ...]``.

    Args:
        counts: counts of each seed and client.
        person: int[C], the person of each client.
    """
    belongs = np.equal.outer(np.arange(person.max() + 1), person).astype(int)
    return np.einsum("pc,sc...->sp...", belongs, counts)


def tested_people(confusions: np.ndarray) -> np.ndarray:
    """bool[P]: the people who have test samples."""
    return confusions.sum(axis=(0, 2, 3)) > 0


def metric_by_seed(metric: MatrixMetric, confusions: np.ndarray) -> np.ndarray:
    """float64[S]: a metric of all people together, seed by seed.

    Args:
        metric: metric of one confusion matrix.
        confusions: int[S, P, K, K].
    """
    return map_matrices(metric, confusions.sum(axis=1))


def sd_over_seeds(values: np.ndarray) -> float | None:
    """Standard deviation of float[S] over the seeds; None with one seed."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def people_interval(metric: MatrixMetric, confusions: np.ndarray, reference: np.ndarray | None = None) -> Interval:
    """The mean over the seeds of a metric, and its 95 % bootstrap interval over people.

    Args:
        metric: metric of one confusion matrix.
        confusions: int[S, P, K, K].
        reference: int[S, P, K, K] of a model whose metric is subtracted, paired by person and seed.
    """
    seeds, people = confusions.shape[:2]
    return clustered_bootstrap(resampled_metric(metric, confusions, reference), people, seeds, draw_seeds=False)


def adjust_by_holm(comparisons: Sequence[MutableMapping[str, Any]]) -> None:
    """Add to each comparison ``p_holm``, its p-value ``p`` adjusted by Holm's method over all comparisons."""
    for comparison, adjusted in zip(comparisons, holm([one["p"] for one in comparisons]), strict=True):
        comparison["p_holm"] = float(adjusted)
