"""Whether the probabilities mean what they say: expected calibration error and Brier score."""

import jax
import jax.numpy as jnp

from bofl_jax.evaluate.arithmetic import check_predictions, masked_mean, pairwise_sum, ratio
from bofl_jax.evaluate.ranks import lower_count

BINS = 15


def ece(probability: jax.Array, label: jax.Array, mask: jax.Array, bins: int = BINS) -> jax.Array:
    r"""Expected calibration error of the top label, in bins of equal mass.

    With confidence :math:`c_i = \max_k p_{ik}`, :math:`r_i` the number of samples whose confidence is strictly lower,
    and :math:`n` samples, sample i falls into bin :math:`\lfloor B r_i / n \rfloor`: tied samples share a bin, and the
    order of the samples does not matter. Then

    .. math:: ECE = \frac{1}{n} \sum_{b=1}^{B} \left| \sum_{i \in b} (1[\hat y_i = y_i] - c_i) \right|.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        bins: B, static.

    Returns:
        float32[], in [0, 1]; NaN without samples or where a confidence is NaN.

    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; equal-mass bins as in
    Nixon et al., "Measuring calibration in deep learning", CVPR workshops 2019.

    >>> p = jnp.array([[0.75, 0.25]] * 4)
    >>> float(ece(p, jnp.array([0, 0, 0, 1]), jnp.ones(4, bool)))
    0.0
    """
    check_predictions(probability, label=label, mask=mask)
    if not probability.shape[0]:
        return jnp.float32(jnp.nan)
    confidence = jnp.max(probability, axis=1)
    gap = jnp.where(mask, (jnp.argmax(probability, axis=1) == label) - confidence, 0.0)
    count = jnp.sum(mask, dtype=jnp.int32)
    member = lower_count(confidence, mask) * bins // jnp.maximum(count, 1) == jnp.arange(bins)[:, None]
    # A NaN confidence may rank beyond the last bin; adding 0 * gap keeps it visible.
    gaps = pairwise_sum(jnp.where(member, gap, 0.0 * gap))
    return ratio(jnp.sum(jnp.abs(gaps)), count)


def brier(probability: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    r"""Multi-class Brier score :math:`\frac1n \sum_i \sum_k (p_{ik} - 1[y_i = k])^2`, from 0 (perfect) to 2.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].

    Returns:
        float32[]; NaN without samples.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review, 1950.

    >>> float(brier(jnp.array([[0.5, 0.5], [1.0, 0.0]]), jnp.array([0, 0]), jnp.ones(2, bool)))
    0.25
    """
    check_predictions(probability, label=label, mask=mask)
    error = probability - jax.nn.one_hot(label, probability.shape[1], dtype=probability.dtype)
    return masked_mean(jnp.sum(jnp.square(error), axis=1), mask)
