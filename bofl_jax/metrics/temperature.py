"""Temperature scaling: one number that softens or sharpens probabilities, fitted on validation data."""

import jax
import jax.numpy as jnp

from bofl_jax.metrics.arithmetic import check_predictions, masked_mean
from bofl_jax.metrics.calibration import at_label, bounded_log

MAX_TEMPERATURE = 100.0
"""Temperatures are sought between 1 / MAX_TEMPERATURE and MAX_TEMPERATURE."""
_BISECTIONS = 30


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
    log_p = bounded_log(probability)
    log_p_true = at_label(log_p, label)

    def slope(log_t: jax.Array) -> jax.Array:
        q = jax.nn.softmax(log_p / jnp.exp(log_t), axis=1)
        return masked_mean(jnp.sum(q * log_p, axis=1) - log_p_true, mask)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) / 2
        too_cold = slope(middle) > 0
        return jnp.where(too_cold, middle, low), jnp.where(too_cold, high, middle)

    end = jnp.log(jnp.float32(MAX_TEMPERATURE))
    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (-end, end))
    return jnp.where(jnp.isfinite(slope(jnp.float32(0))), jnp.exp((low + high) / 2), jnp.nan)


def apply_temperature(probability: jax.Array, temperature: jax.Array) -> jax.Array:
    """Soften (T > 1) or sharpen (T < 1) probabilities: ``p^(1/T)``, normalised to a sum of 1.

    Args:
        probability: float32[N, K].
        temperature: float32[], from ``fit_temperature`` of other data.

    Returns:
        float32[N, K]; the most probable class stays the same.

    Guo et al., "On calibration of modern neural networks", ICML 2017.

    >>> [round(value, 4) for value in apply_temperature(jnp.array([[0.9, 0.1]]), 2.0)[0].tolist()]
    [0.75, 0.25]
    """
    return jax.nn.softmax(bounded_log(probability) / temperature, axis=-1)
