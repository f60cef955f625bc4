"""How the batches of a client are drawn from its samples and augmented."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.algorithms.base import Batch
from bofl_jax.algorithms.options import Sampling
from bofl_jax.core.noise import normal


class Sampler(NamedTuple):
    """How batches are drawn from a client's rows.

    Attributes:
        batch_size: B.
        sampling: ``replacement`` draws B rows independently; ``shuffle`` permutes the rows once a round and uses them
            in that order, again from the start after the last one.
        scale: each window is multiplied by a factor from U(1 - scale, 1 + scale).
        noise: standard deviation of the Gaussian noise that is added to each time sample, in units of x.
    """

    batch_size: int
    sampling: Sampling
    scale: float
    noise: float

    def order(self, key: jax.Array, size: jax.Array, capacity: int) -> jax.Array:
        """Positions 0 ... size - 1 in random order, padding last, int32[capacity]; for ``shuffle``.

        Args:
            key: of the stream of batches.
            size: int32, number of rows without padding.
            capacity: number of rows with padding.
        """
        shuffled = jax.random.uniform(key, (capacity,))
        return jnp.argsort(jnp.where(jnp.arange(capacity) < size, shuffled, jnp.inf))

    def positions(self, key: jax.Array, step: jax.Array, size: jax.Array, order: jax.Array | None) -> jax.Array:
        """Positions in the client's rows that one step draws, int32[B], all below ``size``.

        Args:
            key: of the step.
            step: int32, index of the step.
            size: int32, number of rows without padding.
            order: from `order`; None for ``replacement``.
        """
        size = jnp.maximum(size, 1)
        if order is None:
            return jax.random.randint(key, (self.batch_size,), 0, size)
        return order[(step * self.batch_size + jnp.arange(self.batch_size)) % size]

    def augment(self, key: jax.Array, batch: Batch) -> Batch:
        """Change amplitudes and add noise; a scale and a noise of 0 change nothing.

        Args:
            key: of the step.
            batch: the batch.
        """
        x = batch.x
        if self.scale:
            x = x * jax.random.uniform(
                jax.random.fold_in(key, 0), (len(x), 1, 1), minval=1 - self.scale, maxval=1 + self.scale
            )
        if self.noise:
            x = x + self.noise * normal(jax.random.fold_in(key, 1), x.shape)
        return batch._replace(x=x)


def take(pool: Batch, rows: jax.Array) -> Batch:
    """The samples of the pool at some rows.

    Args:
        pool: all samples, ``[N, ...]``.
        rows: int32[B].
    """
    return Batch(*(array[rows] for array in pool))
