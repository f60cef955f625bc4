"""How evenly a result is distributed over clients or groups of people."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.arithmetic import masked_mean, pairwise_sum, ratio
from bofl_jax.metrics.clients import group_confusions
from bofl_jax.metrics.discrimination import recall
from bofl_jax.metrics.report import json_number


class Fairness(NamedTuple):
    """Distribution of one number over the clients that have it: float32[] each, NaN without such a client."""

    mean: jax.Array
    sd: jax.Array  # population standard deviation (divided by C)
    worst_10_percent: jax.Array  # mean of the ceil(0.1 C) lowest values
    jain: jax.Array  # Jain's index, 1/C (one client has everything) to 1 (all equal)
    variance: jax.Array  # population variance, the square of sd
    gini: jax.Array  # Gini coefficient, 0 (all equal) to 1 - 1/C (one client has everything)

    def as_dict(self) -> dict[str, float | None]:
        """Plain floats by name, ``None`` where undefined."""
        return {name: json_number(value) for name, value in self._asdict().items()}


@jax.jit
def fairness(values: jax.Array, mask: jax.Array) -> Fairness:
    r"""Summarise how a number, for example accuracy, is distributed over clients.

    The mean, the population standard deviation :math:`s`, the mean of the :math:`\lceil 0.1 C \rceil` lowest values,
    Jain's index :math:`(\sum a)^2 / (C \sum a^2)`, computed as :math:`\bar a^2 / (\bar a^2 + s^2)`, the variance
    :math:`s^2`, and the Gini coefficient :math:`\sum_{ij} |a_i - a_j| / (2 C^2 \bar a)`.

    Args:
        values: float32[C], one number for each client.
        mask: bool[C], False for clients without such a number, which do not count in C above.

    Returns:
        Fairness; the Jain index and the Gini coefficient are NaN when all values are zero.

    Raises:
        BoflError: when the two shapes differ.

    Jain, Chiu & Hawe, "A quantitative measure of fairness and discrimination for resource allocation in shared computer
    systems", DEC TR-301, 1984; the worst 10 % as in Li et al., "Fair resource allocation in federated learning",
    ICLR 2020; Gini, "Variabilità e mutabilità", 1912.

    >>> spread = fairness(jnp.array([1.0, 0.5, jnp.nan]), jnp.array([True, True, False]))
    >>> {name: round(value, 4) for name, value in spread.as_dict().items()}
    {'mean': 0.75, 'sd': 0.25, 'worst_10_percent': 0.5, 'jain': 0.9, 'variance': 0.0625, 'gini': 0.1667}
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
        variance=variance,
        gini=_gini(values, mask, mean),
    )


def equal_opportunity_gap(
    probability: jax.Array, label: jax.Array, mask: jax.Array, group: jax.Array, groups: int
) -> jax.Array:
    """Largest difference, class by class, between the recalls of two groups (of clients, sexes, devices, ...).

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        group: int32[N], the group of each sample, ``0 <= group < groups``.
        groups: number of groups, static.

    Returns:
        float32[K], from 0 (equal opportunity) to 1, over the groups that have samples of the class; NaN for a class
        that fewer than two groups have.

    Raises:
        BoflError: when the shapes do not belong together, or there are fewer than two groups.

    Hardt, Price & Srebro, "Equality of opportunity in supervised learning", NeurIPS 2016.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.8, 0.2]])
    >>> gap = equal_opportunity_gap(p, jnp.array([0, 1, 1, 0]), jnp.ones(4, bool), jnp.array([0, 0, 1, 1]), groups=2)
    >>> gap.tolist()
    [0.0, 1.0]
    """
    if groups < 2:
        raise BoflError(f"equal_opportunity_gap compares groups: give at least 2, not {groups}")
    recalls = recall(group_confusions(probability, label, group, groups, mask))
    defined = ~jnp.isnan(recalls)
    highest, lowest = (jnp.where(defined, recalls, end) for end in (-jnp.inf, jnp.inf))
    gap = jnp.max(highest, axis=0) - jnp.min(lowest, axis=0)
    return jnp.where(jnp.sum(defined, axis=0) > 1, gap, jnp.nan)


def _worst_tenth(values: jax.Array, mask: jax.Array) -> jax.Array:
    ordered = jnp.sort(jnp.where(mask, values, jnp.inf))
    lowest = (jnp.sum(mask, dtype=jnp.int32) + 9) // 10
    return masked_mean(ordered, jnp.arange(len(values)) < lowest)


def _gini(values: jax.Array, mask: jax.Array, mean: jax.Array) -> jax.Array:
    """The sum of all absolute differences, by ranks: the i-th lowest of C values has weight 2 i - C - 1 (twice)."""
    count = jnp.sum(mask, dtype=jnp.int32)
    rank = jnp.arange(len(values))
    above = jnp.where(rank < count, jnp.sort(jnp.where(mask, values, jnp.inf)) - mean, 0.0)
    return ratio(pairwise_sum(ratio(2 * rank + 1 - count, count) * above), count * mean)
