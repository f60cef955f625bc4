"""Personalisation: every client adapts the shared model, or its own, on its own samples."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import algorithms
from bofl_jax.algorithms.personalisation import FineTuneOptions, NoPersonaliseOptions, OwnOptions
from bofl_jax.core.keys import Purpose
from bofl_jax.engine.cohort import Cohort, honest_cohort
from bofl_jax.engine.predict import Tree
from bofl_jax.engine.problem import FederatedProblem, ProgramInputs, program_inputs
from bofl_jax.engine.round import TrainState, compile_for, load_client_state, mask_padding, stack_client_tasks
from bofl_jax.parallel.clients import map_clients


def compile_personalise(
    setting: FederatedProblem, state: TrainState, options: FineTuneOptions | OwnOptions
) -> Callable[[TrainState, int], Tree]:
    """Compile, for any state and any number of steps, ``(state, steps) -> parameters [C, ...]``.

    The parameters are every client's own, adapted on the samples that it may adapt on; no test sample is in reach here.
    A client without samples to adapt on has what the method gives a newcomer.

    Args:
        setting: of the run.
        state: after training, for its shapes.
        options: ``finetune`` goes on from the client's own model, or else the shared one, with plain steps; ``own``
            takes what the method keeps for each client, after more steps of the method if it is told to. Without a step
            they leave the training out of the program; it then takes 0 steps and no other number.
    """
    held = setting.plan.replicate(program_inputs(setting))

    def given(state: TrainState, steps: int) -> tuple:
        cohort, lr = setting.plan.put_round_inputs((adaptation_cohort(setting, steps), np.float32(options.lr)))
        return setting.pool, held, state, cohort, lr

    program = functools.partial(personalise_step, setting, options)
    compiled = compile_for(setting.plan, program, *given(state, options.steps))

    def run(state: TrainState, steps: int) -> Tree:
        assert options.steps or not steps, "this program has no training in it"
        return compiled(*given(state, steps))

    return run


def adaptation_cohort(setting: FederatedProblem, steps: int) -> Cohort:
    """All clients, with so many steps to do for those that have samples to adapt on."""
    size = setting.population.adapt.size
    return honest_cohort(np.arange(len(size), dtype=np.int32), np.where(size > 0, steps, 0), size)


def personalise_step(
    setting: FederatedProblem,
    options: FineTuneOptions | OwnOptions,
    pool: algorithms.Batch,
    held: ProgramInputs,
    state: TrainState,
    cohort: Cohort,
    lr: jax.Array,
) -> Tree:
    """Every client's own parameters ``[C, ...]``.

    Args:
        setting: of the run; its numbers are those of ``held``.
        options: whether and how clients train for it.
        pool: all samples.
        held: what the run holds still.
        state: after training.
        cohort: all clients, from `adapting`.
        lr: float32, of the training.
    """

    def client(shared: Tree, each: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, everything, numbers, first, lr = shared
        work, client, kept = each
        known = setting.with_hyperparameters(numbers)
        algorithm = known.algorithm
        data = algorithms.local_data(setting.sampler, pool, mask_padding(live, work), lr)
        view = algorithm.download(everything, client)
        mine = load_client_state(algorithm, first, view, kept)
        if isinstance(options, FineTuneOptions):
            own, _ = known.descent(jax.value_and_grad(known.loss), algorithm.fine_tune_start(view, mine), data)
            return (), jnp.float32(0), own
        assert algorithm.personal_model is not None
        if options.steps:
            _, trained, _ = algorithm.train(view, mine, data)
            mine = jax.tree.map(functools.partial(jnp.where, work.steps > 0), trained, mine)
        return (), jnp.float32(0), algorithm.personal_model(view, mine)

    kept, clients = state.clients, len(held.adapt.size)
    if len(held.training.size) == 1:  # centralised: the one model that was trained is everybody's
        kept = jax.tree.map(lambda leaf: jnp.repeat(leaf, clients, axis=0), kept)
    work = stack_client_tasks(held.hyperparameters.root, held.adapt, cohort, Purpose.PERSONALISE, jnp.int32(0))
    shared = (pool, state.params, held.hyperparameters, held.initial_params, lr)
    return map_clients(setting.plan, client, shared, (work, cohort.client, kept)).reports


def personal_options(setting: FederatedProblem) -> FineTuneOptions | OwnOptions | None:
    """How the run ends in models of the clients' own; None where it does not."""
    if setting.config.federation.algorithm == "local":
        return OwnOptions(method="own")
    options = setting.config.personalise
    return None if isinstance(options, NoPersonaliseOptions) else options
