"""Calibration of predicted probabilities: calibration errors, reliability diagrams, Brier score, log-likelihood."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from bofl_jax.metrics.arithmetic import check_predictions, masked_mean, pairwise_sum, ratio
from bofl_jax.metrics.ranks import count_lower

BINS = 15
MIN_PROBABILITY = 2.0**-126
"""Lower bound of a probability in a logarithm: the smallest normal float32."""

Result = TypeVar("Result")


class ReliabilityDiagram(NamedTuple):
    """A reliability diagram: one entry for each bin, from the lowest scores up; NaN for an empty bin."""

    confidence: jax.Array  # float32[..., B], mean score
    accuracy: jax.Array  # float32[..., B], share of samples for which the scored class is the true one
    support: jax.Array  # int32[..., B], samples


class MurphyDecomposition(NamedTuple):
    """The parts of each class's Brier score: ``reliability - resolution + uncertainty + within_bin``, float32[K] each.

    Only ``within_bin`` may be negative. It is the part that binning hides, zero when all scores of a bin are equal.
    """

    reliability: jax.Array  # float32[K], squared distance of the mean scores from the frequencies: lower is better
    resolution: jax.Array  # float32[K], squared distance of the frequencies from the base rate: higher is better
    uncertainty: jax.Array  # float32[K], base rate (1 - base rate): of the data alone
    within_bin: jax.Array  # float32[K], variance of the scores less twice their covariance with the outcome, in bins


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
    confidence, right = _top(probability, label)
    return _calibration_error(confidence, right, mask, bins)


def classwise_ece(probability: jax.Array, label: jax.Array, mask: jax.Array, bins: int = BINS) -> jax.Array:
    """Expected calibration error of each class's probability against the rest, in bins of equal mass.

    As ``ece``, with the class's probability instead of the confidence, and with "it is the true class" instead of "the
    top label is right". The mean over the classes is the classwise ECE of the literature.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        bins: B, static.

    Returns:
        float32[K]; NaN without samples or where a probability is NaN.

    Kull et al., "Beyond temperature scaling: obtaining well-calibrated multi-class probabilities with Dirichlet
    calibration", NeurIPS 2019; equal-mass bins as in Nixon et al., CVPR workshops 2019.

    >>> p = jnp.array([[0.75, 0.25]] * 4)
    >>> classwise_ece(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool)).tolist()
    [0.25, 0.25]
    """
    check_predictions(probability, label=label, mask=mask)
    return _each_class(lambda score, hit: _calibration_error(score, hit, mask, bins), probability, label)


def reliability_diagram(
    probability: jax.Array, label: jax.Array, mask: jax.Array, bins: int = BINS
) -> ReliabilityDiagram:
    """The reliability diagram of the top label, in the bins of ``ece``.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        bins: B, static.

    Returns:
        Reliability of shape [B]; ``ece`` is the mean of ``|accuracy - confidence|``, weighted with ``support``.

    DeGroot & Fienberg, "The comparison and evaluation of forecasters", The Statistician, 1983.

    >>> p = jnp.array([[0.75, 0.25]] * 3 + [[0.0, 1.0]])
    >>> curve = reliability_diagram(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool), bins=2)
    >>> curve.confidence.tolist(), curve.support.tolist()
    ([0.75, 1.0], [3, 1])
    """
    check_predictions(probability, label=label, mask=mask)
    confidence, right = _top(probability, label)
    return _curve(confidence, right, mask, bins)


def classwise_reliability_diagram(
    probability: jax.Array, label: jax.Array, mask: jax.Array, bins: int = BINS
) -> ReliabilityDiagram:
    """The reliability diagram of each class against the rest, in the bins of ``classwise_ece``.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        bins: B, static.

    Returns:
        Reliability of shape [K, B].

    >>> p = jnp.array([[0.75, 0.25]] * 4)
    >>> classwise_reliability_diagram(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool), bins=1).accuracy.tolist()
    [[0.5], [0.5]]
    """
    check_predictions(probability, label=label, mask=mask)
    return _each_class(lambda score, hit: _curve(score, hit, mask, bins), probability, label)


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


def murphy_decomposition(
    probability: jax.Array, label: jax.Array, mask: jax.Array, bins: int = BINS
) -> MurphyDecomposition:
    r"""Split each class's one-versus-rest Brier score into reliability, resolution, uncertainty and a within-bin part.

    With scores f, outcomes o in {0, 1}, their means :math:`\bar f_b, \bar o_b` over the :math:`n_b` samples of bin b
    (the bins of ``classwise_ece``) and the base rate :math:`\bar o`,

    .. math:: \frac1n \sum_i (f_i - o_i)^2 = \sum_b \frac{n_b}{n} (\bar f_b - \bar o_b)^2
       - \sum_b \frac{n_b}{n} (\bar o_b - \bar o)^2 + \bar o (1 - \bar o)
       + \frac1n \sum_b \sum_{i \in b} \left[(f_i - \bar f_b)^2 - 2 (f_i - \bar f_b)(o_i - \bar o_b)\right],

    and the last term is ``within_bin``: the four parts add up to the score, up to rounding, for any number of bins.
    Summed over the classes they add up to ``brier``.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        bins: B, static.

    Returns:
        Murphy; NaN without samples or where a probability is NaN (``uncertainty``, of the labels alone, stays).

    Murphy, "A new vector partition of the probability score", Journal of Applied Meteorology, 1973; the last term from
    Stephenson, Coelho & Jolliffe, "Two extra components in the Brier score decomposition", Weather and Forecasting,
    2008.

    >>> parts = murphy_decomposition(jnp.array([[0.75, 0.25]] * 4), jnp.array([0, 0, 1, 1]), jnp.ones(4, bool))
    >>> [part.tolist() for part in parts]
    [[0.0625, 0.0625], [0.0, 0.0], [0.25, 0.25], [0.0, 0.0]]
    """
    check_predictions(probability, label=label, mask=mask)
    return _each_class(lambda score, hit: _decompose(score, hit, mask, bins), probability, label)


def nll(probability: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    """Negative log-likelihood, the mean of ``-log`` of the true class's probability, in nats.

    A probability below 2^-126 counts as 2^-126, which costs 87.3 nats.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].

    Returns:
        float32[]; NaN without samples.

    Good, "Rational decisions", Journal of the Royal Statistical Society B, 1952.

    >>> p = jnp.array([[0.5, 0.5], [1.0, 0.0]])
    >>> round(float(nll(p, jnp.array([0, 0]), jnp.ones(2, bool))), 4)
    0.3466
    """
    check_predictions(probability, label=label, mask=mask)
    return masked_mean(-at_label(bounded_log(probability), label), mask)


def bounded_log(probability: jax.Array) -> jax.Array:
    """Logarithm of probabilities, each at least `MIN_PROBABILITY`."""
    return jnp.log(jnp.maximum(probability, MIN_PROBABILITY))


def at_label(values: jax.Array, label: jax.Array) -> jax.Array:
    """float32[N]: the entry of values[N, K] at each row's label, zero for a label that is not a class.

    Args:
        values: float32[N, K].
        label: int32[N].
    """
    return jnp.sum(jnp.where(label[:, None] == jnp.arange(values.shape[1]), values, 0.0), axis=1)


def _top(probability: jax.Array, label: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The confidence float32[N], and whether the top label is the true one, bool[N]."""
    if not probability.shape[0]:
        return jnp.zeros(0), jnp.zeros(0, bool)
    return jnp.max(probability, axis=1), jnp.argmax(probability, axis=1) == label


def _each_class(measure: Callable[[jax.Array, jax.Array], Result], probability: jax.Array, label: jax.Array) -> Result:
    """Vmap ``measure(score float32[N], hit bool[N])`` over the classes."""
    hit = label[:, None] == jnp.arange(probability.shape[1])
    by_class: Result = jax.vmap(measure, in_axes=(1, 1))(probability, hit)
    return by_class


def _bin_members(score: jax.Array, mask: jax.Array, bins: int) -> jax.Array:
    """bool[B, N]: membership of the samples in bins of equal mass; arbitrary for padding."""
    count = jnp.sum(mask, dtype=jnp.int32)
    return count_lower(score, mask) * bins // jnp.maximum(count, 1) == jnp.arange(bins)[:, None]


def _bin_sums(members: jax.Array, values: jax.Array) -> jax.Array:
    """float32[B]: sum of values[N] over each bin. A NaN, which may rank beyond the last bin, makes all sums NaN."""
    return pairwise_sum(jnp.where(members, values, 0.0 * values))


def _calibration_error(score: jax.Array, hit: jax.Array, mask: jax.Array, bins: int) -> jax.Array:
    if not score.shape[0]:
        return jnp.full((), jnp.nan, jnp.float32)
    gaps = _bin_sums(_bin_members(score, mask, bins), jnp.where(mask, hit - score, 0.0))
    return ratio(jnp.sum(jnp.abs(gaps)), jnp.sum(mask, dtype=jnp.int32))


def _curve(score: jax.Array, hit: jax.Array, mask: jax.Array, bins: int) -> ReliabilityDiagram:
    members = _bin_members(score, mask, bins)
    count = jnp.sum(members & mask, axis=1, dtype=jnp.int32)
    confidence, hits = (_bin_sums(members, jnp.where(mask, values, 0.0)) for values in (score, hit.astype(jnp.float32)))
    return ReliabilityDiagram(ratio(confidence, count), ratio(hits, count), count)


def _decompose(score: jax.Array, hit: jax.Array, mask: jax.Array, bins: int) -> MurphyDecomposition:
    members = _bin_members(score, mask, bins) & mask
    curve = _curve(score, hit, mask, bins)
    confidence, accuracy = (jnp.where(curve.support > 0, mean, 0.0) for mean in (curve.confidence, curve.accuracy))
    share = ratio(curve.support, jnp.sum(mask, dtype=jnp.int32))
    rate = masked_mean(hit.astype(jnp.float32), mask)
    off_score, off_hit = (
        jnp.where(members, values - mean[:, None], 0.0) for values, mean in ((score, confidence), (hit, accuracy))
    )
    within = pairwise_sum(jnp.sum(off_score * (off_score - 2 * off_hit), axis=0))
    reliability = jnp.sum(share * jnp.square(confidence - accuracy))
    return MurphyDecomposition(
        reliability=reliability,
        resolution=jnp.sum(share * jnp.square(accuracy - rate)) + 0.0 * reliability,  # NaN together
        uncertainty=rate * (1 - rate),
        within_bin=ratio(within, jnp.sum(mask, dtype=jnp.int32)),
    )
