"""The state of a run between rounds, and what a round takes and explains."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.algorithms import Batch
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.problem import FederatedProblem, ProgramInputs

Tree = Any


class TrainState(NamedTuple):
    """The state that persists from round to round, and all that a checkpoint holds."""

    params: Tree  # what the server shares: the parameters of the global model, for most algorithms; () without a server
    server: Tree  # `AggregatorState`; () without a server
    clients: Tree  # `ClientStates`; () for algorithms whose clients keep nothing


class ClientStates(NamedTuple):
    """The states that clients keep from round to round, a row for each client."""

    joined: jax.Array  # bool[C], whether the client has worked before; otherwise its row means nothing
    state: Tree  # [C, ...]


class RoundInfo(NamedTuple):
    """What explains a round, a row for each of its M updates."""

    loss: jax.Array  # float32[M], mean training loss over the client's steps
    examples: jax.Array  # int32[M], samples that the client's batches held
    verdict: jax.Array  # int32[M], `RejectionReason`; NONE for an accepted update
    updates: Tree  # [M, ...], the updates that arrived, if the host digests or values them; () otherwise
    digests: Tree  # (uint32[M, 8] of what was sent, of what arrived), if the device digests them; () otherwise
    reduction: Tree = ()  # `bofl_jax.aggregate.ReductionInfo`, for a reduction that stacks the updates; () otherwise


class RoundInputs(NamedTuple):
    """All arguments of a compiled round."""

    pool: Batch  # all N samples
    inputs: ProgramInputs  # the same in every round
    state: TrainState  # before the round
    cohort: Cohort
    number: jax.Array  # int32, from 1
    lr: jax.Array  # float32, the clients' learning rate


def initial_state(problem: FederatedProblem) -> TrainState:
    """The state before the first round."""
    algorithm = problem.algorithm
    shared = algorithm.initial_shared(problem.initial_params)
    template = algorithm.init(problem.initial_params, algorithm.download(shared, jnp.int32(0)))
    clients: Tree = ()
    if jax.tree.leaves(template):
        count = len(problem.training.size)
        states = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], count, axis=0), template)
        clients = problem.plan.replicate(ClientStates(jnp.zeros(count, bool), states))
    server = problem.plan.replicate(problem.aggregator.init(shared)) if problem.shares else ()
    return TrainState(problem.plan.replicate(shared), server, clients)
