"""Personalise and predict: every client's test samples through the shared model and through its own."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import algorithms
from bofl_jax.engine.problem import TILE, FederatedProblem
from bofl_jax.engine.round import TrainState, compile_for
from bofl_jax.parallel.clients import map_clients
from bofl_jax.partition import Tiles, tile

Tree = Any


def compile_predict(setting: FederatedProblem, params: Tree, own: bool) -> Callable[[Tree], np.ndarray]:
    """Compile the test of one model for all clients, or of each client's own.

    Args:
        params: parameters, for their shapes: shared, or ``[C, ...]`` with ``own``.
        own: whether every client has its own.

    Returns:
        params -> float32[Ntest, K], probabilities of all test samples, client after client.
    """
    tiles = tile(setting.population.test, TILE)
    placed = setting.plan.replicate(tiles)
    program = functools.partial(predict_step, setting, own)
    compiled = compile_for(setting.plan, program, setting.pool, placed, params)
    return lambda params: unpad_tiles(tiles, np.asarray(compiled(setting.pool, placed, params)))


def unpad_tiles(tiles: Tiles, probability: np.ndarray) -> np.ndarray:
    """float32[Ntest, K], client after client, of float32[I, W, K] for these tiles, and maybe some more."""
    return probability[: len(tiles.size)][np.arange(probability.shape[1]) < tiles.size[:, None]]


def predict_step(setting: FederatedProblem, own: bool, pool: algorithms.Batch, tiles: Tiles, params: Tree) -> jax.Array:
    """float32[I, W, K]: probabilities of the test samples, and of padding.

    Args:
        setting: of the run.
        own: whether every client has parameters of its own.
        pool: all samples.
        tiles: rows of the pool.
        params: shared, or ``[C, ...]`` with ``own``.
    """

    def piece(shared: Tree, each: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        del live
        (pool, params), (index, client) = shared, each
        if own:
            params = jax.tree.map(lambda a: a[client], params)
        batch = algorithms.take(pool, index)
        return (), jnp.float32(0), jax.nn.softmax(setting.model.apply(params, batch.x, batch.features))

    return map_clients(setting.plan.low_memory(), piece, (pool, params), (tiles.sample, tiles.client)).reports


def global_model(setting: FederatedProblem, state: TrainState) -> Tree:
    """The parameters of the model that all share: the server's, or those of the one centralised client.

    None where the method shares no whole network.
    """
    algorithm = setting.algorithm
    if setting.shares:
        return algorithm.model(state.params) if algorithm.model else None
    if setting.config.federation.algorithm != "centralised":
        return None
    assert algorithm.personal_model is not None
    return algorithm.personal_model(state.params, jax.tree.map(lambda a: a[0], state.clients.own))
