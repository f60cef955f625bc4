"""Prediction: every client's test samples through the global model or through its personal one."""

import functools
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.algorithms import Batch, take
from bofl_jax.engine.compile import compile_for
from bofl_jax.engine.problem import TILE, FederatedProblem
from bofl_jax.engine.state import TrainState
from bofl_jax.parallel.clients import map_clients
from bofl_jax.partition import Tiles, tile

Tree = Any


class Predict(Protocol):
    """Call signature of a compiled prediction."""

    def __call__(self, params: Tree, /) -> np.ndarray:
        """Return the class probabilities of all test samples, client after client, float32[Ntest, K]."""
        ...


def compile_predict(problem: FederatedProblem, params: Tree, own: bool) -> Predict:
    """Compile the prediction of all test samples.

    Args:
        problem: of the run.
        params: parameters, for their shapes: of the global model, or ``[C, ...]`` with ``own``.
        own: whether every client has parameters of its own.
    """
    tiles = tile(problem.population.test, TILE)
    on_devices = problem.plan.replicate(tiles)
    program = functools.partial(predict_step, problem, own)
    compiled = compile_for(problem.plan, program, problem.pool, on_devices, params)
    return lambda params: unpad_tiles(tiles, np.asarray(compiled(problem.pool, on_devices, params)))


def unpad_tiles(tiles: Tiles, probability: np.ndarray) -> np.ndarray:
    """Drop the padding of tiles; returns float32[Ntest, K] in client order.

    Args:
        tiles: of the test samples.
        probability: float32[I, W, K], of these tiles and perhaps of some padding tiles after them.
    """
    return probability[: len(tiles.size)][np.arange(probability.shape[1]) < tiles.size[:, None]]


def predict_step(problem: FederatedProblem, own: bool, pool: Batch, tiles: Tiles, params: Tree) -> jax.Array:
    """The class probabilities of the test samples and of padding, float32[I, W, K].

    Args:
        problem: of the run.
        own: whether every client has parameters of its own.
        pool: all samples.
        tiles: rows of the pool.
        params: of the global model, or ``[C, ...]`` with ``own``.
    """

    def predict_tile(shared: Tree, own_rows: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        del live
        (pool, params), (index, client) = shared, own_rows
        if own:
            params = jax.tree.map(lambda a: a[client], params)
        batch = take(pool, index)
        return (), jnp.float32(0), jax.nn.softmax(problem.model.apply(params, batch.x, batch.features))

    tasks = (tiles.sample, tiles.client)
    found: jax.Array = map_clients(problem.plan.low_memory(), predict_tile, (pool, params), tasks).reports
    return found


def global_model(problem: FederatedProblem, state: TrainState) -> Tree:
    """The parameters of the global model: the server's, or those of the one centralised client.

    None if the algorithm shares no whole network.

    Args:
        problem: of the run.
        state: after training.
    """
    algorithm = problem.algorithm
    if problem.shares:
        return algorithm.model(state.params) if algorithm.model else None
    if problem.config.federation.name != "centralised":
        return None
    assert algorithm.personal_model is not None
    return algorithm.personal_model(state.params, jax.tree.map(lambda a: a[0], state.clients.state))
