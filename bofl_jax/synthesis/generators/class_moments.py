"""Means and standard deviations within each class of a batch, and a loss that compares those of two batches.

Clients average `ClassSums` together with the rest of a state. The moments of all clients' samples follow from the mean.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class ClassSums(NamedTuple):
    """Sums over the samples of each class in a batch ``[T, D, B]``, divided by B."""

    share: jax.Array  # float32[K], share of the batch
    total: jax.Array  # float32[T, D, K]
    square: jax.Array  # float32[T, D, K]

    def moments(self) -> tuple[jax.Array, jax.Array]:
        """Means and variances, each ``[T, D, K]``; 0 for a class without samples."""
        share = jnp.where(self.share > 0, self.share, 1)
        mean = self.total / share
        return mean, self.square / share - mean**2


class PairedSums(NamedTuple):
    """Sums over a batch of real sequences and an equally large batch of synthetic ones."""

    real: ClassSums
    synthetic: ClassSums


def class_sums(x: jax.Array, y: jax.Array, classes: int) -> ClassSums:
    """Sum a batch within each class.

    Args:
        x: float32[T, D, B], sequences.
        y: int32[B], their classes.
        classes: K.
    """
    member = jax.nn.one_hot(y, classes) / len(y)
    return ClassSums(member.sum(axis=0), x @ member, x**2 @ member)


def blended_moments(own: ClassSums, of_all: ClassSums, share: float) -> tuple[jax.Array, jax.Array]:
    """Blend the moments of a batch with those of all clients.

    Args:
        own: sums over the batch. Gradients flow through these alone, as if ``share`` were 0.
        of_all: sums over the samples of all clients.
        share: weight of ``of_all``, in [0, 1].

    Returns:
        Means and standard deviations, each ``[T, D, K]``.
    """
    known = share * (of_all.share > 0)

    def blend(own: jax.Array, of_all: jax.Array) -> jax.Array:
        return own + lax.stop_gradient(known * (of_all - own))

    mean, variance = map(blend, own.moments(), of_all.moments())
    return mean, jnp.sqrt(jnp.maximum(variance, 0) + 1e-6)


def moment_loss(own: PairedSums, of_all: PairedSums, share: float) -> jax.Array:
    """Mean absolute difference of the moments of real and synthetic sequences, within classes.

    Args:
        own: sums over a batch and its synthetic counterpart.
        of_all: sums over the samples of all clients.
        share: weight of ``of_all``; see `blended_moments`.

    Returns:
        float32[], the mean over classes, weighted by their share of the batch.
    """
    real, synthetic = (blended_moments(*pair, share) for pair in zip(own, of_all, strict=True))
    of_means, of_deviations = (jnp.abs(a - b).mean(axis=(0, 1)) for a, b in zip(real, synthetic, strict=True))
    return (of_means + of_deviations) @ own.real.share
