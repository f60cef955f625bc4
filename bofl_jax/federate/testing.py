"""Personalise and predict: every client's test samples through the shared model and through its own."""

import functools
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
    return compile_personalise(setting, state, options)(state, options.steps)


def compile_personalise(
    setting: Setting, state: TrainState, options: FineTuneOptions | OwnOptions
) -> Callable[[TrainState, int], Tree]:
    """`personalise`, compiled once for any state and any number of steps: ``(state, steps) -> parameters``.

    ``own`` options without a step leave the training out of the program; it then takes 0 steps and no other number.
    """
    algorithm, adapt = setting.algorithm, setting.population.adapt
    everyone = np.arange(len(adapt.size), dtype=np.int32)
    first = initial_params(setting)
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
            _, trained, _ = algorithm.train(view, mine, data)
            mine = jax.tree.map(functools.partial(jnp.where, work.steps > 0), trained, mine)
        return (), jnp.float32(0), algorithm.own(view, mine)

    def program(
        root: jax.Array, pool: local.Batch, shared: Tree, first: Tree, rows: Rows, cohort: Cohort, kept: Tree
    ) -> Tree:
        work = works(root, rows, cohort, Purpose.PERSONALISE, jnp.int32(0))
        return run_clients(setting.plan, client, (pool, shared, first), (work, cohort.client, kept)).each

    def given(state: TrainState, steps: int) -> tuple:
        cohort = jax.tree.map(jnp.asarray, honest(everyone, np.where(adapt.size > 0, steps, 0), adapt.size))
        kept = state.kept
        if len(setting.training.size) == 1:  # centralised: the one model that was trained is everybody's
            kept = jax.tree.map(lambda leaf: jnp.repeat(leaf, len(adapt.size), axis=0), kept)
        return setting.root, setting.pool, state.params, first, rows, cohort, kept

    compiled = compile_for(setting.plan, program, *given(state, options.steps))

    def run(state: TrainState, steps: int) -> Tree:
        assert options.steps or not steps, "this program has no training in it"
        return compiled(*given(state, steps))

    return run


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
