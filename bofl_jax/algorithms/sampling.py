"""Which samples a client's step sees, and how they are augmented."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.algorithms.base import Batch
from bofl_jax.core.noise import normal

Sampling = Literal["replacement", "shuffle"]


class Sampler(NamedTuple):
    """How batches are drawn from a client's rows.

    Attributes:
        batch_size: B.
        sampling: ``replacement`` draws B rows independently; ``shuffle`` walks once-permuted rows, wrapping round.
        scale: each window is multiplied by a factor from U(1 - scale, 1 + scale).
        noise: standard deviation of Gaussian noise added to each time sample, in units of x.
    """

    batch_size: int
    sampling: Sampling
    scale: float
    noise: float

    def order(self, key: jax.Array, size: jax.Array, capacity: int) -> jax.Array:
        """int32[capacity]: positions 0..size-1 in the order of this round, padding last (``shuffle`` only)."""
        shuffled = jax.random.uniform(key, (capacity,))
        return jnp.argsort(jnp.where(jnp.arange(capacity) < size, shuffled, jnp.inf))

    def positions(self, key: jax.Array, step: jax.Array, size: jax.Array, order: jax.Array | None) -> jax.Array:
        """int32[B]: positions in the client's rows of step ``step``; never beyond ``size``."""
        size = jnp.maximum(size, 1)
        if order is None:
            return jax.random.randint(key, (self.batch_size,), 0, size)
        return order[(step * self.batch_size + jnp.arange(self.batch_size)) % size]

    def augment(self, key: jax.Array, batch: Batch) -> Batch:
        """Random amplitude and noise; with both at 0 the batch itself."""
        x = batch.x
        if self.scale:
            x = x * jax.random.uniform(
                jax.random.fold_in(key, 0), (len(x), 1, 1), minval=1 - self.scale, maxval=1 + self.scale
            )
        if self.noise:
            x = x + self.noise * normal(jax.random.fold_in(key, 1), x.shape)
        return batch._replace(x=x)


def take(pool: Batch, rows: jax.Array) -> Batch:
    """The samples of the pool at ``rows`` int32[B]."""
    return Batch(*(array[rows] for array in pool))
