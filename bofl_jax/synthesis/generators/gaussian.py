"""``pca-gaussian``: for every class, a Gaussian over samples as vectors, kept to its largest principal axes.

What clients share are the means of class membership, vectors and their products, whose weighted mean over clients is
that of the pooled data: federated and pooled training give the same generator, to rounding.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.synthesis.base import Drawn, Examples, Generator, Shape, Stage, flat, unflat


class Moments(NamedTuple):
    """Means over a client's samples; D = T*L + F."""

    share: jax.Array  # float32[K]
    first: jax.Array  # float32[K, D]
    second: jax.Array  # float32[K, D, D]


class Gaussians(NamedTuple):
    """A class's samples are ``mean + axes^T z`` with z standard normal."""

    mean: jax.Array  # float32[K, D]
    axes: jax.Array  # float32[K, rank, D], scaled by their standard deviation


def pca_gaussian(shape: Shape, rank: int) -> Generator:
    """Build the generator.

    Args:
        shape: of a sample.
        rank: principal axes kept for each class; never more than D.
    """
    width = shape.window * shape.leads + shape.features
    rank = min(rank, width)

    def start(_: jax.Array) -> Moments:
        zeros = jnp.zeros((shape.classes, width))
        return Moments(zeros[:, 0], zeros, jnp.zeros((shape.classes, width, width)))

    def work(_: Moments, examples: Examples, __: jax.Array) -> tuple[Moments, jax.Array]:
        vectors = flat(examples.x, examples.features)
        each = jax.nn.one_hot(examples.y, shape.classes) * examples.real[:, None] / jnp.maximum(examples.size, 1)
        second = jax.lax.map(lambda weight: (vectors * weight[:, None]).T @ vectors, each.T)
        return Moments(each.sum(axis=0), each.T @ vectors, second), jnp.zeros(())

    def finish(moments: Moments) -> Gaussians:
        share = jnp.maximum(moments.share, 1e-12)[:, None]
        mean = moments.first / share
        cov = moments.second / share[:, None] - mean[:, :, None] * mean[:, None, :]
        values, vectors = jax.lax.map(jnp.linalg.eigh, cov)  # not in a batch: see `generators._finish`
        top = jnp.swapaxes(vectors[:, :, ::-1][:, :, :rank], 1, 2)
        # An eigenvector's sign is arbitrary: fix it, so that the generator's digest is not.
        largest = jnp.take_along_axis(top, jnp.abs(top).argmax(axis=2, keepdims=True), axis=2)
        spread = jnp.sqrt(jnp.maximum(values[:, ::-1][:, :rank], 0))
        return Gaussians(mean, top * jnp.sign(largest) * spread[:, :, None])

    def sample(fitted: Gaussians, key: jax.Array, label: jax.Array, n: int) -> Drawn:
        z = jax.random.normal(key, (n, rank))
        return unflat(fitted.mean[label] + z @ fitted.axes[label], shape)

    return Generator(
        name="pca-gaussian",
        trainings=("federated", "local", "pooled"),
        least=2,
        from_normal=False,
        start=start,
        stages=(Stage("moments", 1, work),),
        finish=finish,
        sample=sample,
    )
