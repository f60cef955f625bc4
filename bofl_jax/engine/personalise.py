"""Personalisation: every client adapts the global model, or its personal one, on its own samples."""

import functools
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.algorithms import Batch, FineTuneOptions, NoPersonaliseOptions, OwnOptions, local_data
from bofl_jax.core.keys import Purpose
from bofl_jax.engine.cohort import Cohort, honest_cohort
from bofl_jax.engine.compile import compile_for
from bofl_jax.engine.problem import FederatedProblem, ProgramInputs, program_inputs
from bofl_jax.engine.round import load_client_state, mask_padding, stack_client_tasks
from bofl_jax.engine.state import TrainState
from bofl_jax.parallel.clients import map_clients

Tree = Any


class Personalise(Protocol):
    """Call signature of a compiled personalisation."""

    def __call__(self, state: TrainState, steps: int, /) -> Tree:
        """Return the personal parameters ``[C, ...]``.

        Args:
            state: after training.
            steps: local steps of each client.
        """
        ...


def compile_personalise(
    problem: FederatedProblem, state: TrainState, options: FineTuneOptions | OwnOptions
) -> Personalise:
    """Compile personalisation for any state and any number of steps.

    Every client adapts on the samples of its support set; no test sample is an argument of the program. A client
    without such samples gets what the algorithm gives a client that joins.

    Args:
        problem: of the run.
        state: after training, for its shapes.
        options: ``finetune`` trains the client's personal model, or else the global one, with plain steps. ``own``
            takes the personal model that the algorithm keeps for each client, after more steps of the algorithm if
            ``options.steps`` is not 0. With 0 the program contains no training and accepts 0 steps only.
    """
    inputs = problem.plan.replicate(program_inputs(problem))

    def arguments(state: TrainState, steps: int) -> tuple[Any, ...]:
        cohort, lr = problem.plan.put_round_inputs((adaptation_cohort(problem, steps), np.float32(options.lr)))
        return problem.pool, inputs, state, cohort, lr

    program = functools.partial(personalise_step, problem, options)
    compiled = compile_for(problem.plan, program, *arguments(state, options.steps))

    def personalise(state: TrainState, steps: int) -> Tree:
        assert options.steps or not steps, "this program contains no training"
        return compiled(*arguments(state, steps))

    return personalise


def adaptation_cohort(problem: FederatedProblem, steps: int) -> Cohort:
    """All clients; those with samples to adapt on do ``steps`` steps, the others none.

    Args:
        problem: of the run.
        steps: local steps.
    """
    size = problem.population.adapt.size
    return honest_cohort(np.arange(len(size), dtype=np.int32), np.where(size > 0, steps, 0), size)


def personalise_step(
    problem: FederatedProblem,
    options: FineTuneOptions | OwnOptions,
    pool: Batch,
    inputs: ProgramInputs,
    state: TrainState,
    cohort: Cohort,
    lr: jax.Array,
) -> Tree:
    """Every client's personal parameters ``[C, ...]``.

    Args:
        problem: of the run; its hyperparameters are replaced by those in ``inputs``.
        options: whether and how clients train for it.
        pool: all samples.
        inputs: arguments that are the same in every round.
        state: after training.
        cohort: all clients, from `adaptation_cohort`.
        lr: float32, learning rate of the adaptation.
    """

    def client(shared: Tree, own: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, server_shared, hyperparameters, initial_params, lr = shared
        task, client, client_state = own
        known = problem.with_hyperparameters(hyperparameters)
        algorithm = known.algorithm
        data = local_data(problem.sampler, pool, mask_padding(live, task), lr)
        download = algorithm.download(server_shared, client)
        client_state = load_client_state(algorithm, initial_params, download, client_state)
        if isinstance(options, FineTuneOptions):
            start = algorithm.fine_tune_start(download, client_state)
            params, _ = known.optimizer_loop(jax.value_and_grad(known.loss), start, data)
            return (), jnp.float32(0), params
        assert algorithm.personal_model is not None
        if options.steps:
            _, trained, _ = algorithm.train(download, client_state, data)
            client_state = jax.tree.map(functools.partial(jnp.where, task.steps > 0), trained, client_state)
        return (), jnp.float32(0), algorithm.personal_model(download, client_state)

    states, clients = state.clients, len(inputs.adapt.size)
    if len(inputs.training.size) == 1:  # centralised: every client has the one model that was trained
        states = jax.tree.map(lambda leaf: jnp.repeat(leaf, clients, axis=0), states)
    root = inputs.hyperparameters.root
    tasks = stack_client_tasks(root, inputs.adapt, cohort, Purpose.PERSONALISE, jnp.int32(0))
    shared = (pool, state.params, inputs.hyperparameters, inputs.initial_params, lr)
    return map_clients(problem.plan, client, shared, (tasks, cohort.client, states)).reports


def personal_options(problem: FederatedProblem) -> FineTuneOptions | OwnOptions | None:
    """How the run ends in personal models; None if it does not."""
    if problem.config.federation.name == "local":
        return OwnOptions(method="own")
    options = problem.config.personalise
    return None if isinstance(options, NoPersonaliseOptions) else options
