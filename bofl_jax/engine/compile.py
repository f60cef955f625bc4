"""Compilation: the programs of a round, ahead of time, and where updates are digested."""

import functools
from collections.abc import Callable
from typing import Protocol

import jax
import numpy as np

from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.problem import FederatedProblem, program_inputs
from bofl_jax.engine.round import DigestLocation, Tree, client_phase, server_phase
from bofl_jax.engine.state import RoundInfo, RoundInputs, TrainState
from bofl_jax.parallel.clients import ExecutionPlan, local_copy, spans_processes


class CompiledRound(Protocol):
    """Call signature of a compiled round."""

    def __call__(self, state: TrainState, cohort: Cohort, number: int, lr: float, /) -> tuple[TrainState, RoundInfo]:
        """Start a round.

        Args:
            state: before the round.
            cohort: the clients of the round.
            number: of the round, from 1.
            lr: the clients' learning rate.

        Returns:
            The state after the round, and what explains it; the device may still be computing them.
        """
        ...


HOST_BYTES = 1 << 30
"""If all updates together take more bytes, each is digested on its device, also on a CPU."""


def digest_location(problem: FederatedProblem) -> DigestLocation:
    """Where the updates of a run are digested.

    On a CPU `hashlib` is three times as fast as a program, but needs all updates at once. An accelerator keeps its
    updates. A channel is checked within the round. The choice depends on the configuration alone and not on the free
    memory, because another choice rounds differently.
    """
    if problem.stages.channel:
        return "device"
    if not problem.shares or problem.config.ledger.mode == "off":
        return "off"
    clients = getattr(problem.config.federation, "cohort", None) or len(problem.training.size)
    shared = problem.algorithm.initial_shared(problem.initial_params)
    update = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shared))
    on_host = jax.default_backend() == "cpu" and clients * update <= HOST_BYTES
    return "host" if on_host else "device"


def compile_round(
    problem: FederatedProblem, state: TrainState, cohort: Cohort, digests: DigestLocation
) -> CompiledRound:
    """Compile the programs of a run's rounds once: the clients' and, if there is a server, the server's.

    Args:
        problem: of the run.
        state: the state before the first round, for its shapes.
        cohort: a cohort, for its size.
        digests: where updates are digested; for the host, the round returns them.
    """
    inputs = problem.plan.replicate(program_inputs(problem))

    def arguments(state: TrainState, cohort: Cohort, number: int, lr: float) -> RoundInputs:
        changing = problem.plan.put_round_inputs((cohort, np.int32(number), np.float32(lr)))
        return RoundInputs(problem.pool, inputs, state, *changing)

    clients = functools.partial(client_phase, problem, digests)
    example = arguments(state, cohort, 1, 0.0)
    run_clients = compile_for(problem.plan, clients, example)
    if not problem.shares:

        def train_alone(state: TrainState, cohort: Cohort, number: int, lr: float) -> tuple[TrainState, RoundInfo]:
            _, info, client_states = run_clients(arguments(state, cohort, number, lr))
            return state._replace(clients=client_states), info

        return train_alone

    def on_first_device(tree: Tree) -> Tree:
        return jax.device_put(local_copy(tree), jax.local_devices()[0])

    server_inputs = on_first_device((inputs, example.number))
    server_state = on_first_device((state.params, state.server))
    uplink = jax.eval_shape(clients, example)[0]
    run_server = compile_for(
        problem.plan, functools.partial(server_phase, problem), *server_inputs, *server_state, uplink
    )

    def one_round(state: TrainState, cohort: Cohort, number: int, lr: float) -> tuple[TrainState, RoundInfo]:
        given = arguments(state, cohort, number, lr)
        uplink, info, client_states = run_clients(given)
        moved = on_first_device((given.number, state.params, state.server, uplink))
        shared, server, reduction = run_server(server_inputs[0], *moved)
        shared, server = problem.plan.replicate((shared, server))
        return TrainState(shared, server, client_states), info._replace(reduction=reduction)

    return one_round


def compile_for(plan: ExecutionPlan, program: Callable[..., Tree], *arguments: Tree) -> Callable[..., Tree]:
    """Compile ``program`` ahead of time; a later call with other shapes is an error, not a recompilation.

    With the plan ``loop`` the program stays plain Python. A program on devices of several processes returns everything
    to each of them.

    Args:
        plan: how clients are executed.
        program: the function to compile.
        *arguments: its arguments, for their shapes.
    """
    if plan.execution == "loop":

        def interpret(*arguments: Tree) -> Tree:
            with jax.disable_jit():
                return program(*arguments)

        return interpret
    out_shardings = plan.replicated() if spans_processes(arguments) else None
    return jax.jit(program, out_shardings=out_shardings).lower(*arguments).compile()
