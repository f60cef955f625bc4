"""``oversample`` and ``smote``: a client's own samples with small changes.

Both store the client's own samples, so there is nothing to average. They are fitted locally or, as a reference, on
pooled samples.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from pydantic import Field

from bofl_jax.synthesis.base import (
    ClientSamples,
    Fitted,
    Generator,
    SampleFn,
    SampleShape,
    Stage,
    SyntheticSamples,
    flatten,
    unflatten,
)
from bofl_jax.synthesis.options import LocalSynthesisOptions
from bofl_jax.synthesis.registry import GENERATORS, GeneratorEntry


class OversampleOptions(LocalSynthesisOptions):
    """``oversample``: own samples with noise and a stretched time axis."""

    generator: Literal["oversample"] = "oversample"
    jitter: float = Field(0.03, ge=0, description="sd of the noise on each time sample, in units of x")
    warp: float = Field(0.1, ge=0, lt=1, description="largest stretch of the time axis")


class SmoteOptions(LocalSynthesisOptions):
    """``smote``: points between neighbours of a class."""

    generator: Literal["smote"] = "smote"
    neighbours: int = Field(5, ge=1, description="k")


class StoredSamples(NamedTuple):
    """A client's samples, which are what these generators are fitted to."""

    x: jax.Array  # float32[N, T, L]
    features: jax.Array  # float32[N, F]
    y: jax.Array  # float32[N], the class; -1: padding


def oversample(shape: SampleShape, jitter: float, warp: float) -> Generator:
    """Draw own samples with replacement, add noise and stretch the time axis.

    Args:
        shape: sizes of the samples.
        jitter: standard deviation of the noise on each time sample, in units of x.
        warp: the stretch is U(1 - warp, 1 + warp) about the middle of the window. Features are copied.

    References:
        Um et al.: Data augmentation of wearable sensor data for Parkinson's disease monitoring using convolutional
        neural networks. ICMI, 2017.
    """

    def sample(fitted: StoredSamples, key: jax.Array, label: jax.Array, n: int) -> SyntheticSamples:
        row_key, stretch_key, noise_key = jax.random.split(key, 3)
        rows = _draw_members(fitted, row_key, label, n)
        middle = (shape.window - 1) / 2
        factor = jax.random.uniform(stretch_key, (n, 1), minval=1 - warp, maxval=1 + warp)
        position = middle + (jnp.arange(shape.window) - middle) * factor
        x = jax.vmap(_interpolate)(fitted.x[rows], position)
        return SyntheticSamples(x + jitter * jax.random.normal(noise_key, x.shape), fitted.features[rows])

    return _storing_generator("oversample", shape, 1, sample)


def smote(shape: SampleShape, neighbours: int) -> Generator:
    """Draw points between a sample and one of its k nearest neighbours of the same class.

    Args:
        shape: sizes of the samples.
        neighbours: k; fewer are used where the class has fewer other samples.

    References:
        Chawla, Bowyer, Hall, Kegelmeyer: SMOTE: Synthetic Minority Over-sampling Technique. JAIR, 2002.
    """

    def sample(fitted: StoredSamples, key: jax.Array, label: jax.Array, n: int) -> SyntheticSamples:
        row_key, neighbour_key, share_key = jax.random.split(key, 3)
        vectors = flatten(fitted.x, fitted.features)
        member = fitted.y == label
        rows = _draw_members(fitted, row_key, label, n)
        distance = jnp.sum((vectors[rows][:, None] - vectors[None]) ** 2, axis=2)
        distance = jnp.where(member & (jnp.arange(len(member)) != rows[:, None]), distance, jnp.inf)
        nearest = jnp.argsort(distance, axis=1)[:, :neighbours]
        usable = jnp.clip(member.sum() - 1, 1, nearest.shape[1])
        drawn = jax.random.randint(neighbour_key, (n, 1), 0, usable)
        chosen = jnp.take_along_axis(nearest, drawn, axis=1)[:, 0]
        share = jax.random.uniform(share_key, (n, 1))
        return unflatten(vectors[rows] + share * (vectors[chosen] - vectors[rows]), shape)

    return _storing_generator("smote", shape, 2, sample)


def _storing_generator(name: str, shape: SampleShape, min_samples: int, sample: SampleFn) -> Generator:
    def init(_: jax.Array) -> StoredSamples:
        empty = jnp.zeros((0, shape.window, shape.leads)), jnp.zeros((0, shape.features)), jnp.zeros(0)
        return StoredSamples(*empty)

    def store(_: StoredSamples, samples: ClientSamples, __: jax.Array) -> tuple[StoredSamples, jax.Array]:
        y = jnp.where(samples.mask, samples.y, -1).astype(jnp.float32)
        return StoredSamples(samples.x, samples.features, y), jnp.zeros(())

    def finalize(state: StoredSamples) -> Fitted:
        return state

    return Generator(name, min_samples, init, (Stage("hold", 1, store),), finalize, sample)


def _draw_members(fitted: StoredSamples, key: jax.Array, label: jax.Array, n: int) -> jax.Array:
    """int32[n]: rows of the class, drawn with replacement."""
    log_weight = jnp.where(fitted.y == label, 0.0, -jnp.inf)
    return jax.random.categorical(key, log_weight, shape=(n,))


def _interpolate(signal: jax.Array, position: jax.Array) -> jax.Array:
    """Interpolate a signal ``[T, L]`` linearly at positions float[T]; beyond its ends it stays constant."""
    return jax.vmap(lambda lead: jnp.interp(position, jnp.arange(len(lead)), lead), in_axes=1, out_axes=1)(signal)


GENERATORS.register(
    GeneratorEntry(OversampleOptions, lambda shape, options: oversample(shape, options.jitter, options.warp))
)
GENERATORS.register(GeneratorEntry(SmoteOptions, lambda shape, options: smote(shape, options.neighbours)))
