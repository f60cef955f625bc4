"""Personalise and predict: every client's test samples through the shared model and through its own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import local
from bofl_jax.core.keys import Purpose
from bofl_jax.federate.cohort import Cohort, honest
from bofl_jax.federate.execute import run_clients
from bofl_jax.federate.options import FineTuneOptions
from bofl_jax.federate.round import compile_for, continue_training, works
from bofl_jax.federate.setting import Setting
from bofl_jax.partition import Rows

Tree = Any


def personalise(setting: Setting, params: Tree, options: FineTuneOptions) -> Tree:
    """Fine-tune the shared parameters on every client's own TRAINING samples; test samples are out of reach here.

    Args:
        params: the shared parameters.
        options: how long, and at which rate.

    Returns:
        Parameters ``[C, ...]``; a client without training samples keeps the shared ones.
    """
    size = setting.population.train.size
    everyone = np.arange(len(size), dtype=np.int32)
    cohort = honest(everyone, np.where(size > 0, options.steps, 0), size)
    rows = jax.tree.map(jnp.asarray, setting.population.train)

    def program(pool: local.Batch, params: Tree, rows: Rows, cohort: Cohort) -> Tree:
        state = setting.tuner.init(params)
        states = jax.tree.map(lambda a: jnp.repeat(a[None], len(size), axis=0), state)
        work = works(setting, rows, cohort, Purpose.PERSONALISE, jnp.int32(0))
        out = continue_training(setting, setting.tuner, pool, states, work, jnp.float32(options.lr))
        return setting.tuner.params(out.each[0])

    arguments = (setting.pool, params, rows, jax.tree.map(jnp.asarray, cohort))
    return compile_for(setting.plan, program, *arguments)(*arguments)


def compile_predict(setting: Setting, params: Tree, own: bool) -> Callable[[Tree], np.ndarray]:
    """Compile the test of one model for all clients, or of each client's own.

    Args:
        params: parameters, for their shapes: shared, or ``[C, ...]`` with ``own``.
        own: whether every client has its own.

    Returns:
        params -> float32[Ntest, K], probabilities of all test samples, client after client.
    """
    rows = jax.tree.map(jnp.asarray, setting.population.test)
    inside = np.arange(rows.sample.shape[1]) < setting.population.test.size[:, None]
    plan = setting.plan.sequential()

    def client(shared: Tree, each: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        del live
        pool, common = shared
        index, params = each if own else (each, common)
        batch = local.take(pool, index)
        return (), jnp.float32(0), jax.nn.softmax(setting.model.apply(params, batch.x, batch.features))

    def program(pool: local.Batch, params: Tree, index: jax.Array) -> jax.Array:
        shared, each = ((pool, ()), (index, params)) if own else ((pool, params), index)
        return run_clients(plan, client, shared, each).each

    runner = compile_for(plan, program, setting.pool, params, rows.sample)
    return lambda params: np.asarray(runner(setting.pool, params, rows.sample))[inside]
