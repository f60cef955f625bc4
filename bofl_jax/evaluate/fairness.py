"""How evenly a result is spread over the clients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.evaluate.arithmetic import masked_mean
from bofl_jax.evaluate.report import plain


class Fairness(NamedTuple):
    """Spread of one number over the clients that have it: float32[] each, NaN without such a client."""

    mean: jax.Array
    sd: jax.Array  # population standard deviation (divided by C)
    worst_10_percent: jax.Array  # mean of the ceil(0.1 C) lowest values
    jain: jax.Array  # Jain's index, 1/C (one client has everything) to 1 (all equal)

    def as_dict(self) -> dict[str, float | None]:
        """Plain floats by name, ``None`` where undefined."""
        return {name: plain(value) for name, value in self._asdict().items()}


@jax.jit
def fairness(values: jax.Array, mask: jax.Array) -> Fairness:
    r"""Summarise how a number (accuracy, say) is spread over clients.

    The mean, the population standard deviation :math:`s`, the mean of the :math:`\lceil 0.1 C \rceil` lowest values,
    and Jain's index :math:`(\sum a)^2 / (C \sum a^2)`, computed as :math:`\bar a^2 / (\bar a^2 + s^2)`.

    Args:
        values: float32[C], a number per client.
        mask: bool[C], False for clients that have no such number; C above counts only the others.

    Returns:
        Fairness; the Jain index is NaN when all values are zero.

    Raises:
        BoflError: when the two shapes differ.

    Jain, Chiu & Hawe, "A quantitative measure of fairness and discrimination for resource allocation in shared computer
    systems", DEC TR-301, 1984; the worst 10 % as in Li et al., "Fair resource allocation in federated learning",
    ICLR 2020.

    >>> spread = fairness(jnp.array([1.0, 0.5, jnp.nan]), jnp.array([True, True, False]))
    >>> spread.as_dict()
    {'mean': 0.75, 'sd': 0.25, 'worst_10_percent': 0.5, 'jain': 0.8999999761581421}
    """
    if values.ndim != 1 or values.shape != mask.shape:
        raise BoflError(f"fairness needs values[C] and mask[C], not shapes {values.shape} and {mask.shape}")
    mean = masked_mean(values, mask)
    variance = masked_mean(jnp.square(values - mean), mask)
    power = jnp.square(mean) + variance
    return Fairness(
        mean=mean,
        sd=jnp.sqrt(variance),
        worst_10_percent=_worst_tenth(values, mask),
        jain=jnp.where(power > 0, jnp.square(mean) / jnp.where(power > 0, power, 1.0), jnp.nan),
    )


def _worst_tenth(values: jax.Array, mask: jax.Array) -> jax.Array:
    ordered = jnp.sort(jnp.where(mask, values, jnp.inf))
    lowest = (jnp.sum(mask, dtype=jnp.int32) + 9) // 10
    return masked_mean(ordered, jnp.arange(len(values)) < lowest)
