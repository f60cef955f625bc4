"""Standardisation of samples for neural generators, from statistics that clients measure together.

Networks see a sample as one vector z of D = T*L + F entries. All statistics are means over samples, so the mean over
clients, weighted by their numbers of samples, is that of the pooled data: federated and pooled standardisation agree
up to rounding.
"""

from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from bofl_jax.synthesis.base import ClientSamples, SampleShape, Stage, SyntheticSamples, flatten, unflatten

Scaling = Literal["none", "channels", "whiten"]

VARIANCE_FLOOR = 1e-6
"""A channel whose variance is below this share of its mean square is constant up to rounding. This is also the least
that is added to the variances that are whitened."""


class ScalingStatistics(NamedTuple):
    """Means over samples."""

    mean: jax.Array  # float32[L + F], of the channels over time, and of the features
    square: jax.Array  # float32[L + F], of their squares
    entry: jax.Array  # float32[D], of the entries of scaled vectors; [0] unless they are whitened
    product: jax.Array  # float32[D, D], of the products of entries; [0, 0] unless they are whitened


class Standardizer(NamedTuple):
    """The map ``z = (vector / sd - mean) inverse^T`` and back, ``vector = (z factor^T + mean) sd``."""

    sd: jax.Array  # float32[D]
    mean: jax.Array  # float32[D]
    factor: jax.Array  # float32[D, D], lower triangular; [0, 0] stands for the identity
    inverse: jax.Array  # float32[D, D], inverse of the factor; [0, 0] stands for the identity


def initial_statistics(shape: SampleShape, scaling: Scaling) -> ScalingStatistics:
    """The statistics of samples that need no scaling.

    Args:
        shape: sizes of the samples.
        scaling: kind of standardisation; see `scaling_stages`.
    """
    channels = shape.leads + shape.features
    whitened = shape.size if scaling == "whiten" else 0
    return ScalingStatistics(jnp.zeros(channels), jnp.ones(channels), jnp.zeros(whitened), jnp.eye(whitened))


def scaling_stages(shape: SampleShape, scaling: Scaling) -> tuple[Stage, ...]:
    """The stages that measure the statistics, one round each, of states with a field ``statistics``.

    ``channels`` brings every channel and feature to mean 0 and standard deviation 1. ``whiten`` then also makes the D
    entries uncorrelated: each entry becomes its residual after linear regression on the entries before it in time,
    divided by the standard deviation of that residual (the Cholesky factor of the covariance). Principal axes rotate
    freely where two variances are close; the Cholesky factor does not jump when the moments change by rounding.

    Args:
        shape: sizes of the samples.
        scaling: ``none``, ``channels`` or ``whiten``.
    """

    def channels(state: Any, samples: ClientSamples, _: jax.Array) -> tuple[Any, jax.Array]:
        statistics = _measure_channels(state.statistics, samples)
        return state._replace(statistics=statistics), nan_unless_finite(jnp.zeros(()), statistics)

    def whiten(state: Any, samples: ClientSamples, _: jax.Array) -> tuple[Any, jax.Array]:
        statistics = _measure_entries(state.statistics, samples, shape)
        return state._replace(statistics=statistics), nan_unless_finite(jnp.zeros(()), statistics)

    stages = Stage("scale", 1, channels), Stage("whiten", 1, whiten)
    return stages[: ("none", "channels", "whiten").index(scaling)]


def _measure_channels(statistics: ScalingStatistics, samples: ClientSamples) -> ScalingStatistics:
    weight = samples.mask / jnp.maximum(samples.size, 1)
    x = jnp.where(samples.mask[:, None, None], samples.x, 0)
    features = jnp.where(samples.mask[:, None], samples.features, 0)

    def mean(x: jax.Array, features: jax.Array) -> jax.Array:
        return jnp.concatenate([weight @ x.mean(axis=1), weight @ features])

    return statistics._replace(mean=mean(x, features), square=mean(x**2, features**2))


def _measure_entries(statistics: ScalingStatistics, samples: ClientSamples, shape: SampleShape) -> ScalingStatistics:
    by_channel = standardizer(statistics._replace(entry=jnp.zeros(0), product=jnp.zeros((0, 0))), shape)
    vectors = jnp.where(samples.mask[:, None], encode(by_channel, samples.x, samples.features), 0)
    size = jnp.maximum(samples.size, 1)
    return statistics._replace(entry=vectors.sum(axis=0) / size, product=vectors.T @ vectors / size)


def standardizer(statistics: ScalingStatistics, shape: SampleShape) -> Standardizer:
    """Compute the standardiser of measured statistics.

    Args:
        statistics: means over samples.
        shape: sizes of the samples.
    """
    variance = statistics.square - statistics.mean**2
    sd = jnp.sqrt(jnp.where(variance <= VARIANCE_FLOOR * statistics.square, 1.0, variance))
    entry_sd = _to_entries(sd, shape)
    mean = _to_entries(statistics.mean / sd, shape)
    if not statistics.entry.size:
        return Standardizer(entry_sd, mean, jnp.zeros((0, 0)), jnp.zeros((0, 0)))
    covariance = statistics.product - jnp.outer(statistics.entry, statistics.entry)
    factor = _cholesky(covariance)
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(len(factor)), lower=True)
    return Standardizer(entry_sd, mean + statistics.entry, factor, inverse)


def _cholesky(covariance: jax.Array) -> jax.Array:
    """The Cholesky factor ``[D, D]`` of a covariance with a jitter on its diagonal.

    The jitter starts at `VARIANCE_FLOOR` and grows tenfold until the factor is finite: in long smooth windows,
    neighbouring entries predict each other up to rounding, and float32 finds no factor. The result is NaN if a jitter
    of 1, which is the size of the variances, does not help; then the covariance itself is not finite.
    """

    def factor(jitter: jax.Array) -> jax.Array:
        return cast(jax.Array, jnp.linalg.cholesky(covariance + jitter * jnp.eye(len(covariance))))

    def not_found(tried: tuple[jax.Array, jax.Array]) -> jax.Array:
        jitter, found = tried
        return ~jnp.isfinite(found).all() & (jitter < 1)

    def try_larger(tried: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        jitter = 10 * tried[0]
        return jitter, factor(jitter)

    first = jnp.float32(VARIANCE_FLOOR)
    return lax.while_loop(not_found, try_larger, (first, factor(first)))[1]


def _to_entries(channels: jax.Array, shape: SampleShape) -> jax.Array:
    """Repeat values of channels and features, float32[L + F], for all entries: float32[D]."""
    return jnp.concatenate([jnp.tile(channels[: shape.leads], shape.window), channels[shape.leads :]])


def encode(standardizer: Standardizer, x: jax.Array, features: jax.Array) -> jax.Array:
    """Standardise samples: ``x[N, T, L], features[N, F] -> z[N, D]``."""
    z = flatten(x, features) / standardizer.sd - standardizer.mean
    return z @ standardizer.inverse.T if standardizer.inverse.size else z


def decode(standardizer: Standardizer, z: jax.Array, shape: SampleShape) -> SyntheticSamples:
    """Invert `encode`.

    Args:
        standardizer: the standardiser.
        z: float32[N, D], standardised vectors.
        shape: sizes of the samples.
    """
    vectors = z @ standardizer.factor.T if standardizer.factor.size else z
    return unflatten((vectors + standardizer.mean) * standardizer.sd, shape)


def nan_unless_finite(loss: jax.Array, tree: Any) -> jax.Array:
    """Return the loss float32[], or NaN if an array of the tree has an entry that is not finite."""
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
    return jnp.where(finite, loss, jnp.nan)
