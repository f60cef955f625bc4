"""95 % intervals: over seeds by Student's t, over people by the bootstrap."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bofl_jax.results import Predictions

RESAMPLES = 2000
Ends = tuple[np.ndarray, np.ndarray]


class Mean(NamedTuple):
    """Mean of a number over seeds, and how sure it is; NaN where one value is all there is."""

    mean: float
    sd: float  # divided by n - 1
    low: float
    high: float
    seeds: int


def over_seeds(values: Sequence[float] | np.ndarray) -> Mean:
    """Mean, standard deviation and 95 % Student interval of the finite ones of some values.

    >>> over_seeds([0.5, 0.5]), over_seeds([0.5])
    (Mean(mean=0.5, sd=0.0, low=0.5, high=0.5, seeds=2), Mean(mean=0.5, sd=nan, low=nan, high=nan, seeds=1))
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return Mean(float(known[0]) if len(known) else math.nan, math.nan, math.nan, math.nan, len(known))
    from scipy import stats

    mean, sd = float(known.mean()), float(known.std(ddof=1))
    half = float(stats.t.ppf(0.975, len(known) - 1)) * sd / math.sqrt(len(known))
    return Mean(mean, sd, mean - half, mean + half, len(known))


def recall(matrix: np.ndarray) -> np.ndarray:
    """float64[..., K] from confusion matrices int64[..., K, K] (rows are true); NaN without samples of the class."""
    return _ratio(_hit(matrix), matrix.sum(axis=-1))


def precision(matrix: np.ndarray) -> np.ndarray:
    """float64[..., K]; NaN without samples of the class, 0 where it is never predicted."""
    return np.where(matrix.sum(axis=-1) > 0, _hit(matrix) / np.maximum(matrix.sum(axis=-2), 1), np.nan)


def f1(matrix: np.ndarray) -> np.ndarray:
    """float64[..., K]; NaN without samples of the class, 0 where it is never predicted."""
    total = matrix.sum(axis=-1) + matrix.sum(axis=-2)
    return np.where(matrix.sum(axis=-1) > 0, _ratio(2 * _hit(matrix), total), np.nan)


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """float64[...]: share of samples on the diagonal."""
    return _ratio(_hit(matrix).sum(axis=-1), matrix.sum(axis=(-1, -2)))


def balanced_accuracy(matrix: np.ndarray) -> np.ndarray:
    """float64[...]: mean recall of the classes that have samples."""
    return _mean_of_defined(recall(matrix))


def macro_f1(matrix: np.ndarray) -> np.ndarray:
    """float64[...]: mean F1 of the classes that have samples."""
    return _mean_of_defined(f1(matrix))


def confusion(predictions: Predictions, model: str) -> np.ndarray:
    """int64[K, K]: true class by predicted class, of a model that has probabilities."""
    return _confusions_by_person(predictions, predictions.models[model]).sum(axis=0)


def interval_over_people(
    predictions: Predictions, model: str, quantity: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """95 % percentile interval of a quantity when people are drawn again with replacement.

    Beats of one person resemble each other, so whole people are resampled, never beats.

    Args:
        predictions: of the test samples, or of a part of them, whose people are then resampled.
        model: ``global`` or ``personalised``.
        quantity: from confusion matrices int64[..., K, K] to float64[..., K] or float64[...].

    Returns:
        Lower and upper ends, NaN where a draw never defines the quantity; ``None`` with fewer than two people or
        without probabilities of the model.

    Efron & Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall, 1993, chapter 13.
    """
    matrices = _resampled(predictions, model)
    return None if matrices is None else percentiles(quantity(matrices))


@lru_cache(maxsize=2)  # the two models of the run, or of the part of it, at hand
def _resampled(predictions: Predictions, model: str) -> np.ndarray | None:
    """int64[RESAMPLES, K, K]: the confusion matrix of each draw of people; None with fewer than two of them."""
    probability = predictions.models.get(model)
    matrices = None if probability is None else _confusions_by_person(predictions, probability)
    if matrices is None or len(matrices) < 2:
        return None
    draws = np.random.default_rng(0).multinomial(len(matrices), np.full(len(matrices), 1 / len(matrices)), RESAMPLES)
    # Whole numbers below 2^53 are exact in float64, whose product is the fast one.
    return np.tensordot(draws.astype(np.float64), matrices.astype(np.float64), axes=1).astype(np.int64)


def percentiles(value: np.ndarray) -> Ends:
    """The 2.5 and 97.5 percentile of draws float64[B, ...] that are defined; NaN where none is."""
    never = np.isnan(value).all(axis=0)
    low, high = np.nanpercentile(np.where(never, 0.0, value), [2.5, 97.5], axis=0)
    return np.where(never, np.nan, low), np.where(never, np.nan, high)


def _confusions_by_person(predictions: Predictions, probability: np.ndarray) -> np.ndarray:
    """int64[people, K, K]: true class by predicted class, of everyone with test samples."""
    _, person = np.unique(predictions.person, return_inverse=True)
    matrices = np.zeros((person.max(initial=-1) + 1, *(len(predictions.classes),) * 2), np.int64)
    np.add.at(matrices, (person, predictions.label, probability.argmax(axis=1)), 1)
    return matrices


def _hit(matrix: np.ndarray) -> np.ndarray:
    return np.diagonal(matrix, axis1=-2, axis2=-1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean_of_defined(value: np.ndarray) -> np.ndarray:
    known = np.isfinite(value)
    return _ratio(np.where(known, value, 0.0).sum(axis=-1), known.sum(axis=-1))
