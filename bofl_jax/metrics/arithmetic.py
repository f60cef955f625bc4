"""Counts, sums and means that stay accurate in float32, and the shape check that all metrics share.

Functions of counts take NumPy arrays as well as JAX arrays, and return the same kind: float32 from JAX, float64 from
NumPy. Figures compute their intervals in NumPy.
"""

from types import ModuleType
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.errors import BoflError

Array = TypeVar("Array", jax.Array, np.ndarray)


def namespace(array: jax.Array | np.ndarray) -> ModuleType:
    """The module that computes with an array: ``numpy`` for a NumPy array or number, ``jax.numpy`` for any other."""
    return np if isinstance(array, np.ndarray | np.generic) else jnp


def pairwise_sum(values: Array) -> Array:
    """Sum over the last axis by halving, so that the error grows with log2 N and not with N.

    A NumPy array is summed by NumPy, whose sum is pairwise already.

    Args:
        values: float32[..., N].

    Returns:
        float32[...], with relative error at most ``ceil(log2 N) * 2**-24`` of the sum of absolute values.

    Higham, "The accuracy of floating point summation", SIAM J. Sci. Comput., 1993.

    >>> float(pairwise_sum(jnp.full(3, 0.5)))
    1.5
    """
    if isinstance(values, np.ndarray):
        return np.asarray(values.sum(axis=-1))
    count = values.shape[-1]
    width = 1 << max(count - 1, 0).bit_length()
    values = jnp.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, width - count)])
    while width > 1:
        width //= 2
        values = values[..., :width] + values[..., width:]
    return values[..., 0]


def ratio(numerator: Array, denominator: Array) -> Array:
    """``numerator / denominator``, NaN where the denominator is zero: float32 from JAX, float64 from NumPy.

    Args:
        numerator: int32[...] or float32[...].
        denominator: int32[...] or float32[...].

    >>> ratio(jnp.array([1, 1]), jnp.array([2, 0])).tolist()
    [0.5, nan]
    """
    xp = namespace(denominator)
    safe = xp.where(denominator == 0, 1, denominator)
    quotient: Array = xp.where(denominator == 0, xp.nan, numerator / safe)
    return quotient if isinstance(quotient, np.ndarray) else quotient.astype(jnp.float32)


def masked_mean(values: Array, mask: Array) -> Array:
    """Mean over the last axis of the entries where ``mask`` holds; NaN where there is none.

    Args:
        values: float32[..., N].
        mask: bool[..., N].

    >>> float(masked_mean(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([True, True, False])))
    2.0
    """
    xp = namespace(values)
    mean: Array = ratio(pairwise_sum(xp.where(mask, values, 0.0)), xp.sum(mask, axis=-1, dtype=xp.int32))
    return mean


def count_cells(cell: Array, cells: int) -> Array:
    """Histogram of cell numbers; a number of ``cells`` or more counts nowhere.

    Args:
        cell: int32[N], not negative.
        cells: number of cells, static.

    Returns:
        int32[cells] (int64 from NumPy).

    >>> count_cells(jnp.array([0, 2, 2, 3]), 3).tolist()
    [1, 0, 2]
    """
    if isinstance(cell, np.ndarray):
        return np.bincount(cell[cell < cells], minlength=cells)
    return jnp.zeros(cells, jnp.int32).at[cell].add(1, mode="drop")


def check_predictions(probability: jax.Array | np.ndarray, **per_sample: jax.Array | np.ndarray) -> None:
    """Reject predictions whose shapes do not belong together (at trace time, free of run-time cost).

    Args:
        probability: float32[N, K].
        per_sample: arrays that must have shape [N], by name.

    Raises:
        BoflError: naming the array and the shape that it should have.
    """
    if probability.ndim != 2 or probability.shape[1] < 2:
        raise BoflError(f"probability has shape {probability.shape}: give [N, K] with K >= 2 (vmap over further axes)")
    for name, array in per_sample.items():
        if array.shape != probability.shape[:1]:
            raise BoflError(f"{name} has shape {array.shape}: give {probability.shape[:1]}, an entry per prediction")
