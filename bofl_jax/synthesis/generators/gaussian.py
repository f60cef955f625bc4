"""``pca-gaussian``: one Gaussian for each class, over samples as vectors, restricted to its largest principal axes.

Clients share the means of class membership, of the vectors and of their products. The weighted mean of these over
clients is that of the pooled data, so federated and pooled training give the same generator up to rounding.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from pydantic import Field

from bofl_jax.synthesis.base import (
    ClientSamples,
    Generator,
    SampleShape,
    Stage,
    SyntheticSamples,
    flatten,
    unflatten,
)
from bofl_jax.synthesis.options import SynthesisOptions
from bofl_jax.synthesis.registry import GENERATORS, GeneratorEntry


class PcaGaussianOptions(SynthesisOptions):
    """``pca-gaussian``: a Gaussian on a class's principal axes."""

    generator: Literal["pca-gaussian"] = "pca-gaussian"
    rank: int = Field(20, ge=1, description="principal axes")


class ClassMoments(NamedTuple):
    """Means over a client's samples, D = T*L + F; a sample of another class counts as zero."""

    share: jax.Array  # float32[K]
    first: jax.Array  # float32[K, D]
    second: jax.Array  # float32[K, D, D]


class ClassGaussians(NamedTuple):
    """Samples of class k are ``mean[k] + axes[k]^T z`` with z standard normal."""

    mean: jax.Array  # float32[K, D]
    axes: jax.Array  # float32[K, rank, D], scaled by their standard deviation


def pca_gaussian(shape: SampleShape, rank: int) -> Generator:
    """Build the generator.

    Args:
        shape: sizes of the samples.
        rank: number of principal axes that are kept for each class; at most D.
    """
    rank, classes = min(rank, shape.size), shape.num_classes

    def init(_: jax.Array) -> ClassMoments:
        zeros = jnp.zeros((classes, shape.size))
        return ClassMoments(zeros[:, 0], zeros, jnp.zeros((classes, shape.size, shape.size)))

    def measure(_: ClassMoments, samples: ClientSamples, __: jax.Array) -> tuple[ClassMoments, jax.Array]:
        vectors = flatten(samples.x, samples.features)
        member = jax.nn.one_hot(samples.y, classes) * samples.mask[:, None] / jnp.maximum(samples.size, 1)
        second = jax.lax.map(lambda weight: (vectors * weight[:, None]).T @ vectors, member.T)
        return ClassMoments(member.sum(axis=0), member.T @ vectors, second), jnp.zeros(())

    def finalize(moments: ClassMoments) -> ClassGaussians:
        share = jnp.maximum(moments.share, 1e-12)[:, None]
        mean = moments.first / share
        cov = moments.second / share[:, None] - mean[:, :, None] * mean[:, None, :]
        values, vectors = jax.lax.map(jnp.linalg.eigh, cov)  # one at a time: see `bofl_jax.balancing.fit`
        top = jnp.swapaxes(vectors[:, :, ::-1][:, :, :rank], 1, 2)
        # The sign of an eigenvector is arbitrary. Fix it, so that the digest of the generator is reproducible.
        largest = jnp.take_along_axis(top, jnp.abs(top).argmax(axis=2, keepdims=True), axis=2)
        sd = jnp.sqrt(jnp.maximum(values[:, ::-1][:, :rank], 0))
        return ClassGaussians(mean, top * jnp.sign(largest) * sd[:, :, None])

    def sample(fitted: ClassGaussians, key: jax.Array, label: jax.Array, n: int) -> SyntheticSamples:
        z = jax.random.normal(key, (n, rank))
        return unflatten(fitted.mean[label] + z @ fitted.axes[label], shape)

    return Generator("pca-gaussian", 2, init, (Stage("moments", 1, measure),), finalize, sample)


GENERATORS.register(GeneratorEntry(PcaGaussianOptions, lambda shape, options: pca_gaussian(shape, options.rank)))
