"""Selective prediction: how the risk falls when the least confident samples are left to a human."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.metrics.arithmetic import check_predictions, masked_mean, ratio
from bofl_jax.metrics.ranks import count_lower
from bofl_jax.metrics.scores import floor_share

RISK = 0.01


class RiskCoverage(NamedTuple):
    """The risk-coverage curve: entry i accepts all samples that are at least as confident as the i-th most confident.

    Tied samples are accepted together and share one point. Entries beyond the number of samples are NaN, their counts
    zero.
    """

    coverage: jax.Array  # float32[N], share of the samples that are accepted
    risk: jax.Array  # float32[N], share of the accepted samples whose top label is wrong
    accepted: jax.Array  # int32[N]
    errors: jax.Array  # int32[N], accepted samples whose top label is wrong


def risk_coverage(probability: jax.Array, label: jax.Array, mask: jax.Array) -> RiskCoverage:
    """Trace the error rate of the accepted samples against their share, confidence being the highest probability.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].

    Returns:
        RiskCoverage; coverage and risk are NaN throughout where a probability is NaN.

    Raises:
        BoflError: when the shapes do not belong together.

    El-Yaniv & Wiener, "On the foundations of noise-free selective classification", JMLR 2010.

    >>> p = jnp.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]])
    >>> curve = risk_coverage(p, jnp.array([0, 1, 1, 1]), jnp.ones(4, bool))
    >>> curve.coverage.tolist(), curve.risk.tolist()
    ([0.25, 0.5, 1.0, 1.0], [0.0, 0.0, 0.25, 0.25])
    """
    check_predictions(probability, label=label, mask=mask)
    if not probability.shape[0]:
        return RiskCoverage(jnp.zeros(0), jnp.zeros(0), jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.int32))
    samples = jnp.sum(mask, dtype=jnp.int32)
    lower = count_lower(jnp.max(probability, axis=1), mask)
    order = jnp.argsort(jnp.where(mask, -lower, 1))
    present = mask[order]
    wrong = jnp.cumsum(present & (jnp.argmax(probability, axis=1) != label)[order], dtype=jnp.int32)
    accepted = jnp.where(present, samples - lower[order], 0)
    errors = jnp.where(present, wrong[accepted - 1], 0)
    known = ~jnp.any(mask & jnp.isnan(jnp.max(probability, axis=1)))
    coverage, risk = (
        jnp.where(known & present, ratio(*parts), jnp.nan) for parts in ((accepted, samples), (errors, accepted))
    )
    return RiskCoverage(coverage, risk, accepted, errors)


def aurc(probability: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    """Area under the risk-coverage curve: the mean of its risks, one for each sample; lower is better.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].

    Returns:
        float32[], from 0 (all right) to 1 (all wrong); NaN without samples or with a NaN probability.

    Raises:
        BoflError: when the shapes do not belong together.

    Geifman, Uziel & El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.

    >>> p = jnp.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]])
    >>> float(aurc(p, jnp.array([0, 1, 1, 1]), jnp.ones(4, bool)))
    0.125
    """
    curve = risk_coverage(probability, label, mask)
    return masked_mean(curve.risk, curve.accepted > 0)


def coverage_at_risk(probability: jax.Array, label: jax.Array, mask: jax.Array, risk: float = RISK) -> jax.Array:
    """Largest coverage of the risk-coverage curve whose risk is not above a limit.

    The point is chosen on the samples that it is evaluated on, so the coverage is optimistic for other samples.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        risk: the limit, a share of wrong predictions among the accepted samples, static.

    Returns:
        float32[], 0 if no point is within the limit; NaN without samples or with a NaN probability.

    Raises:
        BoflError: when the shapes do not belong together, or the risk is not between 0 and 1.

    Geifman & El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017.

    >>> p = jnp.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.4, 0.6]])
    >>> float(coverage_at_risk(p, jnp.array([0, 1, 1, 1]), jnp.ones(4, bool)))
    0.5
    """
    curve = risk_coverage(probability, label, mask)
    within = curve.errors <= floor_share(curve.accepted, risk)
    undefined = ~jnp.any(mask) | jnp.any(jnp.isnan(curve.coverage) & (curve.accepted > 0))
    return jnp.where(undefined, jnp.nan, jnp.max(jnp.where(within, curve.accepted, 0), initial=0) / jnp.sum(mask))
