"""How well the classes are told apart: the confusion matrix and what follows from it, AUROC and AUPRC.

Precision, recall and F1 of a class without true samples are undefined (NaN), and a macro average is the mean over the
classes where the number is defined. A class that has samples and is never predicted has precision and F1 zero.

The functions of a confusion matrix take one matrix or many (``[..., K, K]``), as JAX or as NumPy arrays.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.metrics.arithmetic import Array, check_predictions, count_cells, masked_mean, pairwise_sum, ratio
from bofl_jax.metrics.ranks import count_lower


class ClassCounts(NamedTuple):
    """One-versus-rest counts of each class: int32[..., K] each."""

    true_positive: jax.Array  # samples of the class that were predicted as it
    false_positive: jax.Array  # samples of other classes that were predicted as it
    false_negative: jax.Array  # samples of the class that were predicted as another
    true_negative: jax.Array  # all others


def confusion(probability: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    """Count the samples by true class (row) and predicted class (column).

    The predicted class is the most probable one, the first of them on a tie.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].

    Returns:
        int32[K, K], exact up to 2^30 samples.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> confusion(p, jnp.array([0, 1, 1]), jnp.ones(3, bool)).tolist()
    [[1, 0], [1, 1]]
    """
    check_predictions(probability, label=label, mask=mask)
    classes = probability.shape[1]
    cell = label * classes + jnp.argmax(probability, axis=1)
    cell = jnp.where(mask & (label >= 0) & (label < classes), cell, classes * classes)
    return count_cells(cell, classes * classes).reshape(classes, classes)


def class_counts(matrix: jax.Array) -> ClassCounts:
    """Read each class's one-versus-rest counts off confusion matrices int32[..., K, K].

    >>> class_counts(jnp.array([[3, 1], [2, 4]])).false_positive.tolist()
    [2, 1]
    """
    hits = matrix.diagonal(axis1=-2, axis2=-1)
    false_positive = matrix.sum(axis=-2) - hits
    false_negative = matrix.sum(axis=-1) - hits
    total = matrix.sum(axis=(-2, -1))[..., None]
    return ClassCounts(hits, false_positive, false_negative, total - hits - false_positive - false_negative)


def recall(matrix: Array) -> Array:
    """Sensitivity ``TP / (TP + FN)`` of each class: float32[..., K] from int32[..., K, K].

    NaN without samples of the class.

    >>> recall(jnp.array([[3, 1], [0, 0]])).tolist()
    [0.75, nan]
    """
    return ratio(_hits(matrix), _support(matrix))


def precision(matrix: Array) -> Array:
    """Positive predictive value ``TP / (TP + FP)`` of each class: float32[..., K] from int32[..., K, K].

    Zero for a class that has samples and is never predicted; NaN without samples of the class.

    >>> precision(jnp.array([[3, 1, 0], [2, 0, 0], [0, 0, 0]])).tolist()
    [0.6000000238418579, 0.0, nan]
    """
    predicted = matrix.sum(axis=-2).clip(1)
    return ratio(_hits(matrix), predicted * (_support(matrix) > 0))


def f1(matrix: Array) -> Array:
    """Harmonic mean of precision and recall, ``2 TP / (2 TP + FP + FN)``: float32[..., K] from int32[..., K, K].

    NaN without samples of the class.

    >>> f1(jnp.array([[3, 1], [1, 3]])).tolist()
    [0.75, 0.75]
    """
    support = _support(matrix)
    return ratio(2 * _hits(matrix), (support + matrix.sum(axis=-2)) * (support > 0))


def specificity(matrix: Array) -> Array:
    """``TN / (TN + FP)`` of each class: float32[..., K] from int32[..., K, K]; NaN when every sample is of the class.

    >>> specificity(jnp.array([[3, 1], [1, 4]])).tolist()
    [0.800000011920929, 0.75]
    """
    support, predicted = _support(matrix), matrix.sum(axis=-2)
    negatives = support.sum(axis=-1)[..., None] - support
    return ratio(negatives - (predicted - _hits(matrix)), negatives)


def accuracy(matrix: Array) -> Array:
    """Share of samples on the diagonal of a confusion matrix int32[..., K, K]: float32[...]; NaN without samples.

    >>> float(accuracy(jnp.array([[3, 1], [1, 3]])))
    0.75
    """
    return ratio(_hits(matrix).sum(axis=-1), matrix.sum(axis=(-2, -1)))


def balanced_accuracy(matrix: Array) -> Array:
    """Mean recall over the classes that have samples: float32[...] from int32[..., K, K].

    Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.

    >>> float(balanced_accuracy(jnp.array([[3, 1], [0, 4]])))
    0.875
    """
    return masked_mean(recall(matrix), _support(matrix) > 0)


def macro_f1(matrix: Array) -> Array:
    """Mean F1 over the classes that have samples: float32[...] from int32[..., K, K].

    It is scikit-learn's with ``labels`` = the classes present.

    >>> float(macro_f1(jnp.array([[3, 1, 0], [1, 3, 0], [0, 0, 0]])))
    0.75
    """
    return masked_mean(f1(matrix), _support(matrix) > 0)


def auroc(probability: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    """Area under the receiver operating characteristic of each class against the rest.

    It is the probability that a sample of the class scores above a sample of another class; a tie counts half. It is
    computed exactly, by the trapezoidal rule over the distinct thresholds, not on a grid.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].

    Returns:
        float32[K]; NaN for a class without positives or without negatives, or where a score is not finite.

    Hanley & McNeil, "The meaning and use of the area under a ROC curve", Radiology, 1982.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.2, 0.8]])
    >>> auroc(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool)).tolist()
    [0.875, 0.875]
    """
    return _one_versus_rest(_roc_area, probability, label, mask)


def auprc(probability: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    """Average precision of each class against the rest: ``sum_t (R_t - R_{t-1}) P_t`` over distinct thresholds.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].

    Returns:
        float32[K]; NaN for a class without positives or without negatives, or where a score is not finite.

    Davis & Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.

    >>> p = jnp.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8]])
    >>> auprc(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool)).tolist()
    [0.8333333730697632, 0.8333333730697632]
    """
    return _one_versus_rest(_average_precision, probability, label, mask)


class _Curve(NamedTuple):
    """Counts by threshold, from the lowest score up: int32[N] each, with zero steps where there is no new score."""

    positive_step: jax.Array  # positives with exactly this score
    negative_step: jax.Array  # negatives with exactly this score
    positive_from: jax.Array  # positives with this score or a higher one
    negative_from: jax.Array  # negatives with this score or a higher one


def _hits(matrix: Array) -> Array:
    return matrix.diagonal(axis1=-2, axis2=-1)


def _support(matrix: Array) -> Array:
    support: Array = matrix.sum(axis=-1)
    return support


def _one_versus_rest(
    area: Callable[[_Curve], jax.Array], probability: jax.Array, label: jax.Array, mask: jax.Array
) -> jax.Array:
    check_predictions(probability, label=label, mask=mask)
    if not probability.shape[0]:
        return jnp.full(probability.shape[1], jnp.nan, jnp.float32)

    def one(score: jax.Array, index: jax.Array) -> jax.Array:
        positive = mask & (label == index)
        finite = jnp.all(jnp.isfinite(score) | ~mask)
        return jnp.where(finite, area(_curve(score, positive, mask & ~positive)), jnp.nan)

    found: jax.Array = jax.vmap(one, in_axes=(1, 0))(probability, jnp.arange(probability.shape[1]))
    return found


def _curve(score: jax.Array, positive: jax.Array, negative: jax.Array) -> _Curve:
    """Count at every distinct score; samples that are neither positive nor negative count nowhere."""
    position = count_lower(score, positive | negative)
    steps = jnp.zeros((2, score.shape[0]), jnp.int32)
    steps = steps.at[:, position].add(jnp.stack([positive, negative]).astype(jnp.int32), mode="drop")
    from_here = jnp.sum(steps, axis=1, keepdims=True) - jnp.cumsum(steps, axis=1) + steps
    return _Curve(*steps, *from_here)


def _roc_area(curve: _Curve) -> jax.Array:
    positives, negatives = jnp.sum(curve.positive_step), jnp.sum(curve.negative_step)
    height = ratio(2 * curve.positive_from - curve.positive_step, 2 * positives)
    return ratio(pairwise_sum(jnp.where(curve.negative_step > 0, curve.negative_step * height, 0.0)), negatives)


def _average_precision(curve: _Curve) -> jax.Array:
    positives, negatives = jnp.sum(curve.positive_step), jnp.sum(curve.negative_step)
    value = ratio(curve.positive_from, jnp.maximum(curve.positive_from + curve.negative_from, 1))
    return jnp.where(negatives > 0, ratio(pairwise_sum(curve.positive_step * value), positives), jnp.nan)
