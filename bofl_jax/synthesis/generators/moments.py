"""Means and standard deviations within classes, of a client's own rows or of all clients', for losses to compare.

Tallies are averaged by the clients with everything else of a state; the moments of all rows follow from them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Tally(NamedTuple):
    """Sums over the rows ``[T, D, B]`` of each class, divided by B."""

    rows: jax.Array  # float32[K], their share of the batch
    total: jax.Array  # float32[T, D, K]
    square: jax.Array  # float32[T, D, K]

    def moments(self) -> tuple[jax.Array, jax.Array]:
        """Means and variances ``[T, D, K]``; 0 of a class without rows."""
        rows = jnp.where(self.rows > 0, self.rows, 1)
        mean = self.total / rows
        return mean, self.square / rows - mean**2


class Tallies(NamedTuple):
    """Of as many real and drawn sequences."""

    real: Tally
    drawn: Tally


def tally(x: jax.Array, y: jax.Array, classes: int) -> Tally:
    """Of a batch ``[T, D, B]``."""
    member = jax.nn.one_hot(y, classes) / len(y)
    return Tally(member.sum(axis=0), x @ member, x**2 @ member)


def mixed(own: Tally, of_all: Tally, share: float) -> tuple[jax.Array, jax.Array]:
    """Means and standard deviations: ``share`` of them those of all, the slopes those of a batch's own in full."""
    known = share * (of_all.rows > 0)

    def mix(own: jax.Array, of_all: jax.Array) -> jax.Array:
        return own + lax.stop_gradient(known * (of_all - own))

    mean, variance = map(mix, own.moments(), of_all.moments())
    return mean, jnp.sqrt(jnp.maximum(variance, 0) + 1e-6)


def moment_gap(own: Tallies, of_all: Tallies, share: float) -> jax.Array:
    """V: within every class, weighted by its rows in the batch."""
    real, drawn = (mixed(*pair, share) for pair in zip(own, of_all, strict=True))
    gaps = jax.tree.map(lambda ours, theirs: jnp.abs(ours - theirs), real, drawn)
    return sum(gap.mean(axis=(0, 1)) for gap in gaps) @ own.real.rows
