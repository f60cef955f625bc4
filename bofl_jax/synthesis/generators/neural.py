"""Parts that the neural generators share: options, optimisers whose states can be averaged, and minibatches."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import lax
from pydantic import Field

from bofl_jax.synthesis.base import ClientSamples, SampleShape
from bofl_jax.synthesis.generators.standardizer import (
    Scaling,
    ScalingStatistics,
    Standardizer,
    encode,
    nan_unless_finite,
    standardizer,
)
from bofl_jax.synthesis.options import SynthesisOptions

Tree = Any


class NeuralOptions(SynthesisOptions):
    """Options of generators that are trained by minibatches."""

    cached: ClassVar[bool] = True

    scaling: Scaling = Field("channels", description="standardisation: of each channel, or of all entries (whiten)")
    rounds: int = Field(50, ge=1, description="how often clients train and average")
    steps: int = Field(200, ge=1, description="minibatches of a round; of the generator, for a GAN")
    batch: int = Field(64, ge=1, description="B")
    lr: float = Field(1e-3, gt=0, description="Adam's initial learning rate")
    average: float = Field(0.999, ge=0, lt=1, description="decay of the moving average of the parameters, per step")
    balance: float = Field(
        0.5, ge=0, le=1, description="oversampling of rare classes in minibatches; 1: all classes equally often"
    )


class FittedNetwork(NamedTuple):
    """A fitted neural generator. The names of the fields are part of its digest on the ledger."""

    lens: Standardizer
    params: Tree  # of the networks that draw


class Minibatch(NamedTuple):
    """B standardised samples."""

    z: jax.Array  # float32[B, D]
    y: jax.Array  # int32[B]


MinibatchSampler = Callable[[jax.Array], Minibatch]
"""Draws a minibatch of a client's real samples with a random key."""


class StepFn(Protocol):
    """One step of an optimiser."""

    def __call__(self, state: Tree, key: jax.Array, /) -> tuple[Tree, jax.Array]:
        """Update the state on a minibatch drawn with the key; returns the new state and the loss float32[]."""
        ...


def with_float_state(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Wrap an optimiser so that its state consists of float32 arrays, which can be averaged over clients.

    Step counters are integers inside the optimiser and float32 outside; the mean of equal counters is rounded back.

    >>> optimizer = with_float_state(optax.adam(1e-3))
    >>> {str(leaf.dtype) for leaf in jax.tree.leaves(optimizer.init(jnp.zeros(3)))}
    {'float32'}
    """

    def init(params: Tree) -> Tree:
        return _to_float(optimizer.init(params))

    def update(gradient: Tree, state: Tree, params: Tree = None) -> tuple[Tree, Tree]:
        like = jax.eval_shape(optimizer.init, gradient)
        updates, after = optimizer.update(gradient, jax.tree.map(_cast_like, state, like), params)
        return updates, _to_float(after)

    return optax.GradientTransformation(init, update)


def _to_float(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree)


def _cast_like(leaf: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
    is_integer = jnp.issubdtype(like.dtype, jnp.integer)
    return (jnp.round(leaf) if is_integer else leaf).astype(like.dtype)


def adam(lr: float, steps: int | None = None, b1: float = 0.9, b2: float = 0.999) -> optax.GradientTransformation:
    """Adam with a state that can be averaged over clients.

    Args:
        lr: initial learning rate.
        steps: number of steps in which the rate falls to zero along half a cosine; None: the rate is constant.
        b1: decay of the mean of gradients.
        b2: decay of the mean of their squares.

    References:
        Kingma, Ba: Adam: A method for stochastic optimization. ICLR, 2015.
        Loshchilov, Hutter: SGDR: Stochastic gradient descent with warm restarts. ICLR, 2017.
    """
    schedule = optax.cosine_decay_schedule(lr, steps) if steps else lr
    return with_float_state(optax.adam(schedule, b1=b1, b2=b2))


def moving_average(average: Tree, params: Tree, decay: float, step: jax.Array) -> Tree:
    """Exponential moving average ``d average + (1 - d) params`` with ``d = min(decay, (1 + step) / (10 + step))``.

    Args:
        average: the average so far.
        params: the new parameters.
        decay: the largest d. In the first steps d is smaller, so that the initial values are soon forgotten.
        step: float32[], number of steps so far.
    """
    kept = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, average, params)


def sampling_cdf(samples: ClientSamples, classes: int, balance: float) -> jax.Array:
    """Cumulative sum of the weights ``(size of the sample's class) ** -balance``; padding has weight 0.

    Args:
        samples: samples of one client.
        classes: K.
        balance: 0 draws samples uniformly, 1 draws every class that the client has equally often.

    Returns:
        float32[N], not normalised.
    """
    member = (samples.y[:, None] == jnp.arange(classes)) & samples.mask[:, None]
    weight = jnp.maximum(member.sum(axis=0), 1).astype(jnp.float32) ** -balance
    return jnp.cumsum(member @ weight)


def draw_rows(key: jax.Array, cdf: jax.Array, size: jax.Array, batch: int) -> jax.Array:
    """Draw rows with replacement.

    Args:
        key: random key.
        cdf: float32[N], from `sampling_cdf`.
        size: int32[], number of samples that are not padding.
        batch: B.

    Returns:
        int32[B], rows below ``size``.
    """
    at = jax.random.uniform(key, (batch,)) * cdf[-1]
    return jnp.minimum(jnp.searchsorted(cdf, at, side="right"), jnp.maximum(size - 1, 0))


def minibatch_sampler(
    statistics: ScalingStatistics, samples: ClientSamples, shape: SampleShape, options: NeuralOptions
) -> MinibatchSampler:
    """Prepare drawing minibatches of a client's samples.

    Args:
        statistics: means over all clients' samples, for the standardisation.
        samples: samples of the client.
        shape: sizes of the samples.
        options: batch size and class balance.
    """
    cdf = sampling_cdf(samples, shape.num_classes, options.balance)
    scaler = standardizer(statistics, shape)

    def draw(key: jax.Array) -> Minibatch:
        rows = draw_rows(key, cdf, samples.size, options.batch)
        return Minibatch(encode(scaler, samples.x[rows], samples.features[rows]), samples.y[rows])

    return draw


def run_steps(step: StepFn, state: Tree, samples: ClientSamples, key: jax.Array, steps: int) -> tuple[Tree, jax.Array]:
    """Run several steps; a client without samples keeps its state.

    Args:
        step: one step.
        state: state before the first step.
        samples: samples of the client.
        key: random key, split for the steps.
        steps: number of steps.

    Returns:
        The state after the steps, and their mean loss float32[]: NaN if the loss or the state is not finite.
    """
    after, losses = lax.scan(step, state, jax.random.split(key, steps))
    has_samples = samples.size > 0
    after = jax.tree.map(lambda new, old: jnp.where(has_samples, new, old), after, state)
    return after, nan_unless_finite(jnp.where(has_samples, losses.mean(), 0.0), after)
