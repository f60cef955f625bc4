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
from bofl_jax.federate.options import FineTuneOptions, OwnOptions
from bofl_jax.federate.round import TrainState, compile_for, idle_unless, recall, works
from bofl_jax.federate.setting import Setting, initial_params
from bofl_jax.partition import Rows

Tree = Any


def personalise(setting: Setting, state: TrainState, options: FineTuneOptions | OwnOptions) -> Tree:
    """Every client's own parameters, adapted on the samples that it may adapt on; no test sample is in reach here.

    Args:
        setting: of the run.
        state: after training.
        options: ``finetune`` goes on from the client's own model, or else the shared one, with plain steps; ``own``
            takes what the method keeps for each client, after more steps of the method if it is told to.

    Returns:
        Parameters ``[C, ...]``; a client without samples to adapt on has what the method gives a newcomer.
    """
    algorithm, adapt = setting.algorithm, setting.population.adapt
    everyone = np.arange(len(adapt.size), dtype=np.int32)
    cohort = honest(everyone, np.where(adapt.size > 0, options.steps, 0), adapt.size)
    first, kept = initial_params(setting), state.kept
    if len(setting.training.size) == 1:  # centralised: the one model that was trained is everybody's
        kept = jax.tree.map(lambda leaf: jnp.repeat(leaf, len(adapt.size), axis=0), kept)
    rows = jax.tree.map(jnp.asarray, adapt)

    def client(shared: Tree, each: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, everything, first = shared
        work, client, kept = each
        data = local.local_data(setting.sampler, pool, idle_unless(live, work), jnp.float32(options.lr))
        view = algorithm.view(everything, client)
        mine = recall(algorithm, first, view, kept)
        if isinstance(options, FineTuneOptions):
            own, _ = setting.descent(jax.value_and_grad(setting.loss), algorithm.start(view, mine), data)
            return (), jnp.float32(0), own
        assert algorithm.own is not None
        if options.steps:
            _, mine, _ = algorithm.train(view, mine, data)
        return (), jnp.float32(0), algorithm.own(view, mine)

    def program(pool: local.Batch, shared: Tree, first: Tree, rows: Rows, cohort: Cohort, kept: Tree) -> Tree:
        work = works(setting, rows, cohort, Purpose.PERSONALISE, jnp.int32(0))
        return run_clients(setting.plan, client, (pool, shared, first), (work, cohort.client, kept)).each

    arguments = (setting.pool, state.params, first, rows, jax.tree.map(jnp.asarray, cohort), kept)
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
