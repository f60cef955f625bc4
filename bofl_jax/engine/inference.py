"""A run's network over single samples after training: probabilities and explanations, compiled once a network."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from bofl_jax import models
from bofl_jax.core.padding import capacity, filled
from bofl_jax.engine.problem import TILE, Setting
from bofl_jax.metrics.attribution import integrated_gradients
from bofl_jax.metrics.faithfulness import POINTS, faithfulness
from bofl_jax.models import ModelOptions
from bofl_jax.parallel.clients import here

Tree = Any

SIDE_BY_SIDE = 16
"""Samples that are explained at a time, each with its own network in the memory."""

INCOMPLETE = 0.01
"""Completeness error above which a sample is explained with more steps."""


class Explained(NamedTuple):
    """What explains E samples."""

    attribution: Any  # float32[E, T, L], by integrated gradients
    features_attribution: Any  # float32[E, F]
    completeness_error: Any  # float32[E], relative
    deletion: Any  # float32[E], area under the curve
    insertion: Any  # float32[E]
    deletion_random: Any  # float32[E], of a random order
    insertion_random: Any  # float32[E]


class Shape(NamedTuple):
    """What a network is built for."""

    window: int  # T
    leads: int  # L
    features: int  # F
    classes: int  # K


def probabilities(setting: Setting, params: Tree, samples: np.ndarray) -> np.ndarray:
    """float32[N, K]: what one network says of samples int32[N] of the pool."""
    given, size = setting.samples, -(-capacity(len(samples)) // TILE) * TILE
    rows = filled(samples, size).reshape(-1, TILE)
    program = _probabilities(setting.config.model, _shape(setting))
    found = program(at_home(params), given.x[rows], given.features[rows])
    return np.asarray(found).reshape(size, -1)[: len(samples)]


def explanations(
    setting: Setting, params: Tree, place: np.ndarray, samples: np.ndarray, predicted: np.ndarray, keys: jax.Array
) -> Explained:
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
    rows = np.resize(np.arange(count), (-(-count // SIDE_BY_SIDE), SIDE_BY_SIDE))
    each = (place[rows], given.x[samples[rows]], given.features[samples[rows]], predicted[rows], keys[rows])
    found = jax.device_get(_explanations(setting.config.model, _shape(setting))(at_home(params), each))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], found)


def at_home(tree: Tree) -> Tree:
    """A pytree that every device has, or the host, on this process's first device."""
    return jax.device_put(here(tree), jax.local_devices()[0])


def _shape(setting: Setting) -> Shape:
    samples = setting.samples
    _, window, leads = samples.x.shape
    return Shape(window, leads, samples.features.shape[1], len(samples.classes))


@functools.lru_cache(maxsize=8)
def _probabilities(options: ModelOptions, shape: Shape) -> Callable[..., jax.Array]:
    apply = models.build(options, *shape).apply

    def tiles(params: Tree, x: jax.Array, features: jax.Array) -> jax.Array:
        return jax.lax.map(lambda tile: jax.nn.softmax(apply(params, *tile)), (x, features))

    return jax.jit(tiles)


@functools.lru_cache(maxsize=8)
def _explanations(options: ModelOptions, shape: Shape) -> Callable[..., Explained]:
    apply = models.build(options, *shape).apply

    def one(params: Tree, place: jax.Array, x: jax.Array, features: jax.Array, label: jax.Array, key: jax.Array):
        mine = jax.tree.map(lambda leaf: leaf[place], params)
        sample = (x[None], features[None], label[None])

        def predict(x: jax.Array, features: jax.Array) -> jax.Array:
            return apply(mine, x[None], features[None])[0]

        found = integrated_gradients(predict, *sample, tolerance=INCOMPLETE)
        judged = faithfulness(predict, *sample, found.x, key[None], points=min(POINTS, shape.window))
        random = (judged.random_deletion[0], judged.random_insertion[0])
        return jax.tree.map(lambda leaf: leaf[0], Explained(*found, judged.deletion, judged.insertion, *random))

    def groups(params: Tree, each: Tree) -> Explained:
        side_by_side = jax.vmap(functools.partial(one, params))
        return jax.lax.map(lambda group: side_by_side(*group), each)

    return jax.jit(groups)
