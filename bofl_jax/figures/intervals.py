"""Bootstrap intervals over the people of a test."""

from functools import lru_cache

import numpy as np

from bofl_jax.metrics import METRICS, ResampledMetric, group_confusions
from bofl_jax.metrics.resampling import percentile_ends, resampled_people
from bofl_jax.results import Predictions

Ends = tuple[np.ndarray, np.ndarray]
"""Lower and upper ends."""


def confusion(predictions: Predictions, model: str) -> np.ndarray:
    """int64[K, K]: the confusion matrix (rows: true class) of a model that has probabilities.

    Args:
        predictions: of the test samples.
        model: ``global`` or ``personalised``.
    """
    matrix: np.ndarray = _person_confusions(predictions, predictions.models[model]).sum(axis=0)
    return matrix


def person_interval(predictions: Predictions, model: str, metric: ResampledMetric) -> Ends | None:
    """95 % percentile interval of a metric when people are resampled with replacement.

    Beats of one person resemble each other, so whole people are resampled, never beats.

    Args:
        predictions: of the test samples, or of a part of them, whose people are then resampled.
        model: ``global`` or ``personalised``.
        metric: of confusion matrices int64[B, K, K].

    Returns:
        Lower and upper ends, NaN where no draw defines the metric; None with fewer than two people or without
        probabilities of the model.

    Efron & Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall, 1993, chapter 13.
    """
    matrices = _resampled(predictions, model)
    return None if matrices is None else percentile_ends(metric(matrices))


def metric_interval(predictions: Predictions, model: str, key: str, count: int) -> Ends:
    """The interval of a registered metric.

    Args:
        predictions: of the test samples.
        model: ``global`` or ``personalised``.
        key: of the metric.
        count: number of values, K for a metric per class and 1 for any other.

    Returns:
        float64[count] each; NaN for a metric without an interval.
    """
    metric = METRICS[key].interval
    found = person_interval(predictions, model, metric) if metric else None
    low, high = (np.nan, np.nan) if found is None else found
    return np.broadcast_to(low, count), np.broadcast_to(high, count)


@lru_cache(maxsize=2)  # the two models of the run at hand, or of the part of it at hand
def _resampled(predictions: Predictions, model: str) -> np.ndarray | None:
    """int64[draws, K, K]: the confusion matrix of each draw of people; None with fewer than two people."""
    probability = predictions.models.get(model)
    matrices = None if probability is None else _person_confusions(predictions, probability)
    return None if matrices is None or len(matrices) < 2 else resampled_people(matrices)


def _person_confusions(predictions: Predictions, probability: np.ndarray) -> np.ndarray:
    """int64[people, K, K]: the confusion matrix of each person with test samples."""
    people, person = np.unique(predictions.person, return_inverse=True)
    return group_confusions(probability, predictions.label, person, len(people))
