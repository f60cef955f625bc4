"""Inference with a trained network on single samples: probabilities and explanations, compiled once a network."""

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
"""Samples that are explained together, each with its own network in memory."""

COMPLETENESS_TOLERANCE = 0.01
"""Completeness error above which a sample is explained with more steps."""


class SampleExplanations(NamedTuple):
    """Explanations of E samples."""

    attribution: Any  # float32[E, T, L], by integrated gradients
    features_attribution: Any  # float32[E, F]
    completeness_error: Any  # float32[E], relative
    deletion: Any  # float32[E], area under the curve
    insertion: Any  # float32[E]
    deletion_random: Any  # float32[E], the same for a random order
    insertion_random: Any  # float32[E]


class InputShape(NamedTuple):
    """Shape of a network's inputs and outputs."""

    window: int  # T
    leads: int  # L
    features: int  # F
    classes: int  # K


def probabilities(problem: FederatedProblem, params: Tree, samples: np.ndarray) -> np.ndarray:
    """Class probabilities of some samples by one network, float32[N, K].

    Args:
        problem: of the run.
        params: parameters of the network.
        samples: int32[N], rows of the pool.
    """
    pool, size = problem.samples, -(-bucket_size(len(samples)) // TILE) * TILE
    rows = pad_to(samples, size).reshape(-1, TILE)
    program = _probabilities(problem.config.model, _shape(problem))
    found = program(to_first_device(params), pool.x[rows], pool.features[rows])
    return np.asarray(found).reshape(size, -1)[: len(samples)]


def explanations(
    problem: FederatedProblem,
    params: Tree,
    network: np.ndarray,
    samples: np.ndarray,
    predicted: np.ndarray,
    keys: jax.Array,
) -> SampleExplanations:
    """Explain predicted classes.

    Args:
        problem: of the run.
        params: of G networks, ``[G, ...]``.
        network: int32[E], index of the network that predicts each sample.
        samples: int32[E], rows of the pool.
        predicted: int32[E], the class whose logit is explained.
        keys: key[E], for the random orders.
    """
    count, pool = len(samples), problem.samples
    rows = np.resize(np.arange(count), (-(-count // EXPLAINED_TOGETHER), EXPLAINED_TOGETHER))
    arguments = (network[rows], pool.x[samples[rows]], pool.features[samples[rows]], predicted[rows], keys[rows])
    found = jax.device_get(_explanations(problem.config.model, _shape(problem))(to_first_device(params), arguments))
    flat: SampleExplanations = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], found)
    return flat


def to_first_device(tree: Tree) -> Tree:
    """Put a pytree, which every device or the host holds, on the first device of this process."""
    return jax.device_put(local_copy(tree), jax.local_devices()[0])


def _shape(problem: FederatedProblem) -> InputShape:
    samples = problem.samples
    _, window, leads = samples.x.shape
    return InputShape(window, leads, samples.features.shape[1], len(samples.classes))


@functools.lru_cache(maxsize=8)
def _probabilities(options: ModelOptions, shape: InputShape) -> Callable[..., jax.Array]:
    apply = models.build(options, *shape).apply

    def tiles(params: Tree, x: jax.Array, features: jax.Array) -> Tree:
        return jax.lax.map(lambda tile: jax.nn.softmax(apply(params, *tile)), (x, features))

    return jax.jit(tiles)


@functools.lru_cache(maxsize=8)
def _explanations(options: ModelOptions, shape: InputShape) -> Callable[..., SampleExplanations]:
    apply = models.build(options, *shape).apply

    def explain(
        params: Tree, network: jax.Array, x: jax.Array, features: jax.Array, label: jax.Array, key: jax.Array
    ) -> Tree:
        own = jax.tree.map(lambda leaf: leaf[network], params)
        sample = (x[None], features[None], label[None])

        def predict(x: jax.Array, features: jax.Array) -> jax.Array:
            return apply(own, x[None], features[None])[0]

        found = integrated_gradients(predict, *sample, tolerance=COMPLETENESS_TOLERANCE)
        faithful = faithfulness(predict, *sample, found.x, key[None], points=min(POINTS, shape.window))
        random = (faithful.random_deletion[0], faithful.random_insertion[0])
        return jax.tree.map(
            lambda leaf: leaf[0], SampleExplanations(*found, faithful.deletion, faithful.insertion, *random)
        )

    def groups(params: Tree, arguments: Tree) -> Tree:
        side_by_side = jax.vmap(functools.partial(explain, params))
        return jax.lax.map(lambda group: side_by_side(*group), arguments)

    return jax.jit(groups)
