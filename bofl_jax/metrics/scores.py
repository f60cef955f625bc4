"""Operating points and agreement: recall at a chosen specificity, MCC and Cohen's kappa."""

from fractions import Fraction

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.arithmetic import check_predictions, ratio
from bofl_jax.metrics.discrimination import class_counts

SPECIFICITY = 0.95
_MAX_DENOMINATOR = 10_000


def floor_share(count: jax.Array, share: float) -> jax.Array:
    """The largest integer that is not above ``share * count``, in integer arithmetic: 0.05 of 20 is exactly 1.

    Args:
        count: int32[...], not negative.
        share: from 0 to 1, static, rounded to the nearest fraction with a denominator of at most 10 000.

    Returns:
        int32[...].

    Raises:
        BoflError: when the share is not between 0 and 1.

    >>> floor_share(jnp.array([19, 20, 1_000_000_000]), 0.05).tolist()
    [0, 1, 50000000]
    """
    if not 0 <= share <= 1:
        raise BoflError(f"a share of {share} is not between 0 and 1: give 0.05 for 5 %")
    part = Fraction(share).limit_denominator(_MAX_DENOMINATOR)
    whole, rest = jnp.divmod(jnp.asarray(count, jnp.int32), part.denominator)
    return whole * part.numerator + rest * part.numerator // part.denominator


def threshold_at_specificity(
    probability: jax.Array, label: jax.Array, mask: jax.Array, specificity: float = SPECIFICITY
) -> jax.Array:
    """Find the lowest threshold of each class's score that reaches the chosen specificity.

    A sample is predicted positive if its score is at or above the threshold. The threshold is one of the given scores,
    as on the ROC curve. Choose it on validation data and apply it to test data.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        specificity: least share of the other classes' samples below the threshold, static.

    Returns:
        float32[K]; infinite where no score is high enough, NaN for a class without negatives or with a NaN score.

    Raises:
        BoflError: when the shapes do not belong together, or the specificity is not between 0 and 1.

    >>> p = jnp.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    >>> threshold_at_specificity(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool), 0.5)[1]
    Array(0.3, dtype=float32)
    """
    check_predictions(probability, label=label, mask=mask)
    if not probability.shape[0]:
        return jnp.full(probability.shape[1], jnp.nan, jnp.float32)

    def one(score: jax.Array, index: jax.Array) -> jax.Array:
        negative = mask & (label != index)
        negatives = jnp.sum(negative, dtype=jnp.int32)
        descending = -jnp.sort(jnp.where(negative, -score, jnp.inf))
        allowed = floor_share(negatives, 1 - specificity)
        highest_below = jnp.where(allowed < negatives, descending[jnp.minimum(allowed, len(score) - 1)], -jnp.inf)
        lowest = jnp.min(jnp.where(mask & (score > highest_below), score, jnp.inf))
        return jnp.where((negatives > 0) & ~jnp.any(mask & jnp.isnan(score)), lowest, jnp.nan)

    thresholds: jax.Array = jax.vmap(one, in_axes=(1, 0))(probability, jnp.arange(probability.shape[1]))
    return thresholds.astype(jnp.float32)


def recall_at_threshold(probability: jax.Array, label: jax.Array, mask: jax.Array, threshold: jax.Array) -> jax.Array:
    """Share of each class's samples that score at or above the class's threshold.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        threshold: float32[K], from ``threshold_at_specificity`` of other data.

    Returns:
        float32[K]; NaN for a class without samples, or where the threshold or a score is NaN.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> p = jnp.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    >>> recall_at_threshold(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool), jnp.array([0.8, 0.3])).tolist()
    [0.5, 1.0]
    """
    return _share_above(probability, label, mask, threshold, positive=True)


def specificity_at_threshold(
    probability: jax.Array, label: jax.Array, mask: jax.Array, threshold: jax.Array
) -> jax.Array:
    """Share of the other classes' samples that score below each class's threshold: the specificity it reaches.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        threshold: float32[K], from ``threshold_at_specificity`` of other data.

    Returns:
        float32[K]; NaN for a class without negatives, or where the threshold or a score is NaN.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> p = jnp.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    >>> specificity_at_threshold(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool), jnp.array([0.8, 0.3])).tolist()
    [1.0, 0.5]
    """
    return 1 - _share_above(probability, label, mask, threshold, positive=False)


def recall_at_specificity(
    probability: jax.Array, label: jax.Array, mask: jax.Array, specificity: float = SPECIFICITY
) -> jax.Array:
    """Recall of each class where its specificity, on the same samples, is at least the chosen one.

    It is the highest point of the ROC curve with a false positive rate of at most ``1 - specificity``; no point is
    interpolated. The threshold is chosen on the samples that it is evaluated on, so the recall is optimistic.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        specificity: static.

    Returns:
        float32[K]; NaN for a class without positives or without negatives.

    Raises:
        BoflError: when the shapes do not belong together, or the specificity is not between 0 and 1.

    >>> p = jnp.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    >>> recall_at_specificity(p, jnp.array([0, 1, 1, 1]), jnp.ones(4, bool)).tolist()
    [1.0, 1.0]
    """
    threshold = threshold_at_specificity(probability, label, mask, specificity)
    return recall_at_threshold(probability, label, mask, threshold)


def mcc(matrix: jax.Array) -> jax.Array:
    r"""Matthews correlation coefficient of any number of classes, from int32[K, K].

    With :math:`t_k` and :math:`p_k` the shares of true and predicted class k,

    .. math:: R = \frac{\sum_k (P_{kk} - t_k p_k)}{\sqrt{(1 - \sum_k t_k^2)(1 - \sum_k p_k^2)}}.

    Returns:
        float32[], from -1 to 1: 0 when only one class is predicted; NaN when only one class has samples.

    Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", Computational Biology and
    Chemistry, 2004.

    >>> round(float(mcc(jnp.array([[3, 1], [1, 3]]))), 6)
    0.5
    """
    true, predicted = _shares(matrix)
    variance_true, variance_predicted = jnp.sum(true * (1 - true)), jnp.sum(predicted * (1 - predicted))
    value = _chance_corrected_agreement(matrix) / jnp.sqrt(
        jnp.where(variance_predicted > 0, variance_true * variance_predicted, 1.0)
    )
    return jnp.where(variance_true > 0, value, jnp.nan)


def kappa(matrix: jax.Array) -> jax.Array:
    r"""Cohen's kappa :math:`(P_o - P_e) / (1 - P_e)` of true and predicted classes, from int32[K, K].

    Returns:
        float32[], at most 1: 0 for agreement by chance; NaN when one class alone is both true and predicted.

    Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement, 1960.

    >>> float(kappa(jnp.array([[3, 1], [1, 3]])))
    0.5
    """
    true, predicted = _shares(matrix)
    return ratio(_chance_corrected_agreement(matrix), jnp.sum(true * (1 - predicted)))


def _share_above(
    probability: jax.Array, label: jax.Array, mask: jax.Array, threshold: jax.Array, positive: bool
) -> jax.Array:
    """float32[K]: the share of each class's samples (or of all others) with a score at or above its threshold."""
    check_predictions(probability, label=label, mask=mask)
    if threshold.shape != probability.shape[1:]:
        raise BoflError(f"threshold has shape {threshold.shape}: give {probability.shape[1:]}, one for each class")
    of_class = label[:, None] == jnp.arange(probability.shape[1])
    counted = mask[:, None] & (of_class if positive else ~of_class)
    share = ratio(jnp.sum(counted & (probability >= threshold), axis=0), jnp.sum(counted, axis=0))
    unknown = jnp.isnan(threshold) | jnp.any(counted & jnp.isnan(probability), axis=0)
    return jnp.where(unknown, jnp.nan, share)


def _shares(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """float32[K] each: shares of the true and of the predicted classes; NaN without samples."""
    total = jnp.sum(matrix)
    return ratio(jnp.sum(matrix, axis=1), total), ratio(jnp.sum(matrix, axis=0), total)


def _chance_corrected_agreement(matrix: jax.Array) -> jax.Array:
    """float32[]: the sum over classes of TP TN - FP FN, over N^2: P_o - P_e without subtracting close numbers."""
    total = jnp.sum(matrix)
    tp, fp, fn, tn = (ratio(count, total) for count in class_counts(matrix))
    return jnp.sum(tp * tn - fp * fn)
