"""Whether the probabilities mean what they say: calibration errors and curves, Brier score, NLL, temperature."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.metrics.arithmetic import check_predictions, masked_mean, pairwise_sum, ratio
from bofl_jax.metrics.ranks import lower_count

BINS = 15
SMALLEST = 2.0**-126
"""A probability below this one, the smallest normal float32, is taken for it wherever a logarithm is needed."""
HOTTEST = 100.0
"""Temperatures are looked for between 1 / HOTTEST and HOTTEST."""
_HALVINGS = 30


class Reliability(NamedTuple):
    """A reliability diagram: one entry a bin, from the lowest scores up; NaN in an empty bin."""

    confidence: jax.Array  # float32[..., B], mean score
    accuracy: jax.Array  # float32[..., B], share of samples for which the scored class is the true one
    support: jax.Array  # int32[..., B], samples


class Murphy(NamedTuple):
    """The parts of each class's Brier score: ``reliability - resolution + uncertainty + within_bin``, float32[K] each.

    Only ``within_bin`` may be negative. It is what the bins hide, zero when all scores of a bin are equal.
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

    As ``ece``, with the class's probability in the place of the confidence, and whether it is the true class in the
    place of whether the top label is right. The mean over the classes is the classwise ECE of the literature.

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


def reliability(probability: jax.Array, label: jax.Array, mask: jax.Array, bins: int = BINS) -> Reliability:
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
    >>> curve = reliability(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool), bins=2)
    >>> curve.confidence.tolist(), curve.support.tolist()
    ([0.75, 1.0], [3, 1])
    """
    check_predictions(probability, label=label, mask=mask)
    confidence, right = _top(probability, label)
    return _curve(confidence, right, mask, bins)


def classwise_reliability(probability: jax.Array, label: jax.Array, mask: jax.Array, bins: int = BINS) -> Reliability:
    """The reliability diagram of each class against the rest, in the bins of ``classwise_ece``.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        bins: B, static.

    Returns:
        Reliability of shape [K, B].

    >>> p = jnp.array([[0.75, 0.25]] * 4)
    >>> classwise_reliability(p, jnp.array([0, 0, 1, 1]), jnp.ones(4, bool), bins=1).accuracy.tolist()
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


def murphy(probability: jax.Array, label: jax.Array, mask: jax.Array, bins: int = BINS) -> Murphy:
    r"""Split each class's one-versus-rest Brier score into reliability, resolution, uncertainty and what bins hide.

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

    >>> parts = murphy(jnp.array([[0.75, 0.25]] * 4), jnp.array([0, 0, 1, 1]), jnp.ones(4, bool))
    >>> [part.tolist() for part in parts]
    [[0.0625, 0.0625], [0.0, 0.0], [0.25, 0.25], [0.0, 0.0]]
    """
    check_predictions(probability, label=label, mask=mask)
    return _each_class(lambda score, hit: _parts(score, hit, mask, bins), probability, label)


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
    return masked_mean(-_of_label(_log(probability), label), mask)


def fit_temperature(probability: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    r"""Find the temperature T that minimises the NLL of ``apply_temperature(probability, T)``, on validation data.

    The NLL is convex in :math:`1/T`; the root of its derivative, the mean over the samples of
    :math:`E_q[\log p] - \log p_y` with :math:`q \propto p^{1/T}`, is found by bisection of :math:`\log T`.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].

    Returns:
        float32[], from 1/100 (predictions that are always right have no finite optimum) to 100; NaN without samples or
        with a NaN probability.

    Guo et al., "On calibration of modern neural networks", ICML 2017.

    >>> p = jnp.array([[0.9, 0.1]] * 4)
    >>> round(float(fit_temperature(p, jnp.array([0, 0, 0, 1]), jnp.ones(4, bool))), 4)  # to 0.75: log 9 / log 3
    2.0
    """
    check_predictions(probability, label=label, mask=mask)
    log_p = _log(probability)
    log_p_true = _of_label(log_p, label)

    def slope(log_t: jax.Array) -> jax.Array:
        q = jax.nn.softmax(log_p / jnp.exp(log_t), axis=1)
        return masked_mean(jnp.sum(q * log_p, axis=1) - log_p_true, mask)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        too_cold = slope(middle) > 0
        return jnp.where(too_cold, middle, low), jnp.where(too_cold, high, middle)

    end = jnp.log(jnp.float32(HOTTEST))
    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (-end, end))
    return jnp.where(jnp.isfinite(slope(jnp.float32(0))), jnp.exp((low + high) / 2), jnp.nan)


def apply_temperature(probability: jax.Array, temperature: jax.Array) -> jax.Array:
    """Soften (T > 1) or sharpen (T < 1) probabilities: ``p^(1/T)``, made to add up to 1 again.

    Args:
        probability: float32[N, K].
        temperature: float32[], from ``fit_temperature`` of other data.

    Returns:
        float32[N, K]; the most probable class stays the same.

    Guo et al., "On calibration of modern neural networks", ICML 2017.

    >>> [round(value, 4) for value in apply_temperature(jnp.array([[0.9, 0.1]]), 2.0)[0].tolist()]
    [0.75, 0.25]
    """
    return jax.nn.softmax(_log(probability) / temperature, axis=-1)


def _log(probability: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(probability, SMALLEST))


def _of_label(values: jax.Array, label: jax.Array) -> jax.Array:
    """float32[N]: each row's entry of its label, zero for a label that is not a class."""
    return jnp.sum(jnp.where(label[:, None] == jnp.arange(values.shape[1]), values, 0.0), axis=1)


def _top(probability: jax.Array, label: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The confidence float32[N], and whether the top label is the true one, bool[N]."""
    if not probability.shape[0]:
        return jnp.zeros(0), jnp.zeros(0, bool)
    return jnp.max(probability, axis=1), jnp.argmax(probability, axis=1) == label


def _each_class(measure, probability: jax.Array, label: jax.Array):
    """vmap ``measure(score float32[N], hit bool[N])`` over the classes."""
    hit = label[:, None] == jnp.arange(probability.shape[1])
    return jax.vmap(measure, in_axes=(1, 1))(probability, hit)


def _members(score: jax.Array, mask: jax.Array, bins: int) -> jax.Array:
    """bool[B, N]: which samples fall into which bin of equal mass; padding is anywhere."""
    count = jnp.sum(mask, dtype=jnp.int32)
    return lower_count(score, mask) * bins // jnp.maximum(count, 1) == jnp.arange(bins)[:, None]


def _sums(member: jax.Array, values: jax.Array) -> jax.Array:
    """float32[B]: sum of values[N] over each bin; a NaN, which may rank beyond the last bin, stays visible in all."""
    return pairwise_sum(jnp.where(member, values, 0.0 * values))


def _calibration_error(score: jax.Array, hit: jax.Array, mask: jax.Array, bins: int) -> jax.Array:
    if not score.shape[0]:
        return jnp.float32(jnp.nan)
    gaps = _sums(_members(score, mask, bins), jnp.where(mask, hit - score, 0.0))
    return ratio(jnp.sum(jnp.abs(gaps)), jnp.sum(mask, dtype=jnp.int32))


def _curve(score: jax.Array, hit: jax.Array, mask: jax.Array, bins: int) -> Reliability:
    member = _members(score, mask, bins)
    count = jnp.sum(member & mask, axis=1, dtype=jnp.int32)
    confidence, hits = (_sums(member, jnp.where(mask, values, 0.0)) for values in (score, hit.astype(jnp.float32)))
    return Reliability(ratio(confidence, count), ratio(hits, count), count)


def _parts(score: jax.Array, hit: jax.Array, mask: jax.Array, bins: int) -> Murphy:
    member = _members(score, mask, bins) & mask
    curve = _curve(score, hit, mask, bins)
    confidence, accuracy = (jnp.where(curve.support > 0, mean, 0.0) for mean in (curve.confidence, curve.accuracy))
    share = ratio(curve.support, jnp.sum(mask, dtype=jnp.int32))
    rate = masked_mean(hit.astype(jnp.float32), mask)
    off_score, off_hit = (
        jnp.where(member, values - mean[:, None], 0.0) for values, mean in ((score, confidence), (hit, accuracy))
    )
    within = pairwise_sum(jnp.sum(off_score * (off_score - 2 * off_hit), axis=0))
    reliability = jnp.sum(share * jnp.square(confidence - accuracy))
    return Murphy(
        reliability=reliability,
        resolution=jnp.sum(share * jnp.square(accuracy - rate)) + 0.0 * reliability,  # NaN together
        uncertainty=rate * (1 - rate),
        within_bin=ratio(within, jnp.sum(mask, dtype=jnp.int32)),
    )
