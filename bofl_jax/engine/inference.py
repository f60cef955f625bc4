"""A run's network over single samples after training: probabilities and explanations, compiled once a network."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from bofl_jax import models
from bofl_jax.core.padding import bucket_size, pad_to
from bofl_jax.engine.problem import TILE, FederatedProblem
from bofl_jax.metrics.attribution import integrated_gradients
from bofl_jax.metrics.faithfulness import POINTS, faithfulness
from bofl_jax.models import ModelOptions
from bofl_jax.parallel.clients import local_copy

Tree = Any

EXPLAINED_TOGETHER = 16
"""Samples that are explained at a time, each with its own network in the memory."""

COMPLETENESS_TOLERANCE = 0.01
"""Completeness error above which a sample is explained with more steps."""


class SampleExplanations(NamedTuple):
    """What explains E samples."""

    attribution: Any  # float32[E, T, L], by integrated gradients
    features_attribution: Any  # float32[E, F]
    completeness_error: Any  # float32[E], relative
    deletion: Any  # float32[E], area under the curve
    insertion: Any  # float32[E]
    deletion_random: Any  # float32[E], of a random order
    insertion_random: Any  # float32[E]


class InputShape(NamedTuple):
    """What a network is built for."""

    window: int  # T
    leads: int  # L
    features: int  # F
    classes: int  # K


def probabilities(setting: FederatedProblem, params: Tree, samples: np.ndarray) -> np.ndarray:
    """float32[N, K]: what one network says of samples int32[N] of the pool."""
    given, size = setting.samples, -(-bucket_size(len(samples)) // TILE) * TILE
    rows = pad_to(samples, size).reshape(-1, TILE)
    program = _probabilities(setting.config.model, _shape(setting))
    found = program(to_first_device(params), given.x[rows], given.features[rows])
    return np.asarray(found).reshape(size, -1)[: len(samples)]


def explanations(
    setting: FederatedProblem,
    params: Tree,
    place: np.ndarray,
    samples: np.ndarray,
    predicted: np.ndarray,
    keys: jax.Array,
) -> SampleExplanations:
    """Explain predicted classes.

    Args:
        setting: of the run.
        params: of G networks, ``[G, ...]``.
        place: int32[E], which of them is asked.
        samples: int32[E], of the pool.
        predicted: int32[E], the class whose logit is explained.
        keys: key[E], of the random orders.
    """
    count, given = len(samples), setting.samples
    rows = np.resize(np.arange(count), (-(-count // EXPLAINED_TOGETHER), EXPLAINED_TOGETHER))
    each = (place[rows], given.x[samples[rows]], given.features[samples[rows]], predicted[rows], keys[rows])
    found = jax.device_get(_explanations(setting.config.model, _shape(setting))(to_first_device(params), each))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], found)


def to_first_device(tree: Tree) -> Tree:
    """A pytree that every device has, or the host, on this process's first device."""
    return jax.device_put(local_copy(tree), jax.local_devices()[0])


def _shape(setting: FederatedProblem) -> InputShape:
    samples = setting.samples
    _, window, leads = samples.x.shape
    return InputShape(window, leads, samples.features.shape[1], len(samples.classes))


@functools.lru_cache(maxsize=8)
def _probabilities(options: ModelOptions, shape: InputShape) -> Callable[..., jax.Array]:
    apply = models.build(options, *shape).apply

    def tiles(params: Tree, x: jax.Array, features: jax.Array) -> jax.Array:
        return jax.lax.map(lambda tile: jax.nn.softmax(apply(params, *tile)), (x, features))

    return jax.jit(tiles)


@functools.lru_cache(maxsize=8)
def _explanations(options: ModelOptions, shape: InputShape) -> Callable[..., SampleExplanations]:
    apply = models.build(options, *shape).apply

    def one(params: Tree, place: jax.Array, x: jax.Array, features: jax.Array, label: jax.Array, key: jax.Array):
        mine = jax.tree.map(lambda leaf: leaf[place], params)
        sample = (x[None], features[None], label[None])

        def predict(x: jax.Array, features: jax.Array) -> jax.Array:
            return apply(mine, x[None], features[None])[0]

        found = integrated_gradients(predict, *sample, tolerance=COMPLETENESS_TOLERANCE)
        judged = faithfulness(predict, *sample, found.x, key[None], points=min(POINTS, shape.window))
        random = (judged.random_deletion[0], judged.random_insertion[0])
        return jax.tree.map(
            lambda leaf: leaf[0], SampleExplanations(*found, judged.deletion, judged.insertion, *random)
        )

    def groups(params: Tree, each: Tree) -> SampleExplanations:
        side_by_side = jax.vmap(functools.partial(one, params))
        return jax.lax.map(lambda group: side_by_side(*group), each)

    return jax.jit(groups)
