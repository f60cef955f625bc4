"""One round: the phase of the clients and the phase of the server.

The phases of a round are pure functions of a `FederatedProblem`, which is part of the program, and of arguments, which
are not: a value inside the program itself would have to be compiled anew for every seed.
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.aggregate import AggregatorState, ReducedUpdate, StackedUpdates
from bofl_jax.algorithms import ClientTask, LocalAlgorithm, LocalData, local_data
from bofl_jax.core.digest_jax import digest_words
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.problem import FederatedProblem, ProgramInputs
from bofl_jax.engine.stages import ClientContext, ServerContext, apply_stages
from bofl_jax.engine.state import ClientStates, RoundInfo, RoundInputs, TrainState
from bofl_jax.parallel.clients import ClientOutputs, map_clients, sum_blocks
from bofl_jax.partition import ClientIndices

Tree = Any


DigestLocation = Literal["off", "host", "device"]
"""Where updates are digested. For the host they have to leave the device; without a ledger there is no digest."""


def round_step(
    problem: FederatedProblem, digests: DigestLocation, arguments: RoundInputs
) -> tuple[TrainState, RoundInfo]:
    """Clients and server in one program, for runs side by side.

    Args:
        problem: of the run.
        digests: where updates are digested.
        arguments: of the round.

    Returns:
        The state after the round, and what explains it.
    """
    state = arguments.state
    uplink, info, client_states = client_phase(problem, digests, arguments)
    if not problem.shares:
        return state._replace(clients=client_states), info
    shared, server, reduction = server_phase(
        problem, arguments.inputs, arguments.number, state.params, state.server, uplink
    )
    return TrainState(shared, server, client_states), info._replace(reduction=reduction)


def stack_client_tasks(
    root: jax.Array, rows: ClientIndices, cohort: Cohort, purpose: Purpose, number: jax.Array
) -> ClientTask:
    """The tasks of the M clients of a cohort, stacked.

    Args:
        root: root of the run's keys.
        rows: the samples of all clients.
        cohort: the clients, and how many steps each of them does.
        purpose: what the keys are for.
        number: int32, of the round.
    """
    keys = jax.vmap(lambda client: derive(root, purpose, number, client))(cohort.client)
    own, size = (jnp.asarray(part)[cohort.client] for part in rows)
    return ClientTask(own, size, jnp.asarray(cohort.steps), keys)


class Uplink(NamedTuple):
    """What the server receives in a round."""

    sums: ClientOutputs  # weighted sums over the clients; empty sums if the reduction stacks the updates
    stacked: Tree  # `StackedUpdates`, or ()


def client_phase(
    problem: FederatedProblem, digests: DigestLocation, arguments: RoundInputs
) -> tuple[Uplink, RoundInfo, Tree]:
    """The clients' part of a round.

    Args:
        problem: of the run; its hyperparameters are replaced by those in the arguments.
        digests: where updates are digested.
        arguments: of the round.

    Returns:
        What the server receives, what explains the round, and the next `ClientStates` (or ()).
    """
    pool, inputs, state, cohort, number, lr = arguments
    stacks, root = problem.aggregator.stacks_updates, inputs.hyperparameters.root
    returned = digests == "host" or problem.keeps_updates

    def client(shared: Tree, own: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, server_shared, hyperparameters, initial_params, number, lr = shared
        task, cohort, client_state = own
        algorithm = problem.with_hyperparameters(hyperparameters).algorithm
        context = ClientContext(hyperparameters.root, number, cohort.client, cohort.altered)
        data = _staged_data(problem, context, local_data(problem.sampler, pool, mask_padding(live, task), lr))
        download = algorithm.download(server_shared, cohort.client)
        client_state = load_client_state(algorithm, initial_params, download, client_state)
        update, client_state, info = algorithm.train(download, client_state, data)
        sent = apply_stages(problem.stages.client, context, update)
        received = apply_stages(problem.stages.channel, context, sent)
        pair = _digest_pair(problem, sent, received) if digests == "device" else ()
        verdict = validate_update(cohort.rejection, pair, received if problem.shares else info.loss)
        accepted = live & (verdict == RejectionReason.NONE)
        weight = jnp.where(accepted, cohort.weight, 0.0)
        part = () if stacks else jax.tree.map(lambda u: jnp.where(accepted, weight * u, 0.0), received)
        updates = received if returned or stacks else ()
        return part, weight, (info, verdict, weight, updates, pair, client_state)

    tasks = stack_client_tasks(root, inputs.training, cohort, Purpose.TRAIN, number)
    client_states = jax.tree.map(lambda a: a[cohort.client], state.clients)
    shared = (pool, state.params, inputs.hyperparameters, inputs.initial_params, number, lr)
    out = map_clients(problem.plan, client, shared, (tasks, cohort, client_states))
    info, verdict, weight, updates, pairs, new_states = out.reports
    stacked = StackedUpdates(updates, weight, jnp.asarray(cohort.client)) if stacks else ()
    explained = RoundInfo(info.loss, info.examples, verdict, updates if returned else (), pairs)
    next_states = _scatter_client_state(state.clients, new_states, cohort)
    return Uplink(out._replace(reports=()), stacked), explained, next_states


def _staged_data(problem: FederatedProblem, context: ClientContext, data: LocalData) -> LocalData:
    """The client's batches after the data stages."""
    stages = problem.stages.data
    if not stages:
        return data
    return data._replace(batch=lambda step, part: apply_stages(stages, context, data.batch(step, part)))


def load_client_state(algorithm: LocalAlgorithm, initial_params: Tree, download: Tree, client_state: Tree) -> Tree:
    """The state with which one client begins its work.

    Args:
        algorithm: of the run.
        initial_params: the network's initial parameters.
        download: what the server sends to the client.
        client_state: the client's row of `ClientStates`, or ().
    """
    if not jax.tree.leaves(client_state):
        return algorithm.init(initial_params, download)
    new = algorithm.init(initial_params, download)
    return jax.tree.map(functools.partial(jnp.where, client_state.joined), client_state.state, new)


def _scatter_client_state(states: Tree, new: Tree, cohort: Cohort) -> Tree:
    """Store the states of the clients that were invited and worked."""
    if not jax.tree.leaves(states):
        return states
    worked = (cohort.steps > 0) & (cohort.rejection == RejectionReason.NONE)
    row = jnp.where(worked, cohort.client, len(states.joined))
    return ClientStates(
        states.joined.at[row].set(True, mode="drop"),
        jax.tree.map(lambda old, own: old.at[row].set(own, mode="drop"), states.state, new),
    )


def mask_padding(live: jax.Array, task: ClientTask) -> ClientTask:
    """The task of one client, without steps for a row of padding.

    Args:
        live: bool, False for padding.
        task: the task.
    """
    return task._replace(steps=jnp.where(live, task.steps, 0))


def _digest_pair(problem: FederatedProblem, sent: Tree, received: Tree) -> tuple[jax.Array, jax.Array]:
    """The digests of what was sent and of what arrived, uint32[8] each; without a channel they are one and the same."""
    if not problem.stages.channel:
        digest = digest_words(sent)
        return digest, digest
    pair = jax.tree.map(lambda *both: jnp.stack(both), sent, received)  # together: hashing takes long to compile
    sent_digest, received_digest = jax.vmap(digest_words)(pair)
    return sent_digest, received_digest


def validate_update(known: jax.Array, digests: tuple[jax.Array, ...], received: Tree) -> jax.Array:
    """The verdict on one update, int32 (`RejectionReason`).

    Args:
        known: int32, a reason that was known before the update arrived, or NONE.
        digests: of what was sent and of what arrived; () if nothing can alter it in transit.
        received: the update that arrived.
    """
    verdict = jnp.where(all_finite(received), RejectionReason.NONE, RejectionReason.NOT_FINITE)
    if digests:
        sent, arrived = digests
        verdict = jnp.where(jnp.array_equal(sent, arrived), verdict, RejectionReason.DIGEST_MISMATCH)
    return jnp.where(known == RejectionReason.NONE, verdict, known).astype(jnp.int32)


def server_phase(
    problem: FederatedProblem,
    inputs: ProgramInputs,
    number: jax.Array,
    shared: Tree,
    server: AggregatorState,
    uplink: Uplink,
) -> tuple[Tree, AggregatorState, Tree]:
    """The server's part of a round. A round without any accepted update changes nothing.

    Args:
        problem: of the run; its hyperparameters are replaced by those in ``inputs``.
        inputs: arguments that are the same in every round.
        number: int32, of the round.
        shared: what the server shared before the round.
        server: the aggregator's state before the round.
        uplink: what the server received.

    Returns:
        What the server shares from now on, the aggregator's next state, and a `ReductionInfo` (or ()).
    """
    aggregator = problem.with_hyperparameters(inputs.hyperparameters).aggregator
    total, weight = sum_blocks(uplink.sums)
    state: Tree = server.reduction
    info: Tree = ()
    if aggregator.reduction.reduce is None:
        update = jax.tree.map(lambda summed: summed / jnp.maximum(weight, 1.0), total)
    else:
        state, update, info = aggregator.reduction.reduce(state, shared, uplink.stacked)
    context = ServerContext(inputs.hyperparameters.root, number)
    reduced = apply_stages(problem.stages.server, context, ReducedUpdate(update, weight / inputs.weight))
    optimizer, moved = aggregator.optimizer.step(server.optimizer, shared, reduced)
    after = (AggregatorState(state, optimizer), moved)
    server, shared = jax.tree.map(functools.partial(jnp.where, weight > 0), after, (server, shared))
    return shared, server, info


def all_finite(tree: Tree) -> jax.Array:
    """Whether a pytree holds neither NaN nor infinity."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def mean_loss(info: RoundInfo, cohort: Cohort) -> float:
    """The round's training loss: the mean over the accepted clients, weighted by their training samples.

    Args:
        info: of the round.
        cohort: of the round.
    """
    weight = (np.asarray(info.verdict) == RejectionReason.NONE) * cohort.weight
    return float(np.sum(np.where(weight > 0, info.loss, 0) * weight) / max(weight.sum(), 1))
