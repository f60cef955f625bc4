"""Sums and means that stay accurate in float32, and the one shape check of the room."""

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError


def pairwise_sum(values: jax.Array) -> jax.Array:
    """Sum over the last axis by halving, so that the error grows with log2 N and not with N.

    Args:
        values: float32[..., N].

    Returns:
        float32[...], with relative error at most ``ceil(log2 N) * 2**-24`` of the sum of absolute values.

    Higham, "The accuracy of floating point summation", SIAM J. Sci. Comput., 1993.

    >>> float(pairwise_sum(jnp.full(3, 0.5)))
    1.5
    """
    count = values.shape[-1]
    width = 1 << max(count - 1, 0).bit_length()
    values = jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, width - count)])
    while width > 1:
        width //= 2
        values = values[..., :width] + values[..., width:]
    return values[..., 0]


def ratio(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """``numerator / denominator`` in float32, NaN where the denominator is zero.

    >>> ratio(jnp.array([1, 1]), jnp.array([2, 0])).tolist()
    [0.5, nan]
    """
    safe = jnp.where(denominator == 0, 1, denominator)
    return jnp.where(denominator == 0, jnp.nan, numerator / safe).astype(jnp.float32)


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over the last axis of the entries where ``mask`` holds; NaN where there is none.

    >>> float(masked_mean(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([True, True, False])))
    2.0
    """
    return ratio(pairwise_sum(jnp.where(mask, values, 0.0)), jnp.sum(mask, axis=-1, dtype=jnp.int32))


def check_predictions(probability: jax.Array, **per_sample: jax.Array) -> None:
    """Refuse predictions whose shapes do not belong together (at trace time, free of run-time cost).

    Args:
        probability: float32[N, K].
        per_sample: arrays that must have shape [N], by name.

    Raises:
        BoflError: naming the array and the shape it should have.
    """
    if probability.ndim != 2 or probability.shape[1] < 2:
        raise BoflError(f"probability has shape {probability.shape}: give [N, K] with K >= 2 (vmap over further axes)")
    for name, array in per_sample.items():
        if array.shape != probability.shape[:1]:
            raise BoflError(f"{name} has shape {array.shape}: give {probability.shape[:1]}, an entry per prediction")
