"""One round: all clients in one compiled program, the server in a second one.

The phases of a round are pure functions of a `FederatedProblem`, which is part of the program, and of arguments, which
are not: a value inside the program itself would have to be compiled anew for every seed.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.aggregate import AggregatorState, ReducedUpdate, StackedUpdates
from bofl_jax.algorithms import Batch, ClientTask, LocalAlgorithm, LocalData, local_data
from bofl_jax.core.digest_jax import digest_words
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.problem import FederatedProblem, ProgramInputs, program_inputs
from bofl_jax.engine.stages import ClientContext, ServerContext, apply_stages
from bofl_jax.parallel.clients import (
    ClientOutputs,
    ExecutionPlan,
    local_copy,
    map_clients,
    spans_processes,
    sum_blocks,
)
from bofl_jax.partition import ClientIndices

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


DigestLocation = Literal["off", "host", "device"]
"""Where updates are digested. For the host they have to leave the device; without a ledger there is no digest."""


class RoundInputs(NamedTuple):
    """All arguments of a compiled round."""

    pool: Batch  # all N samples
    inputs: ProgramInputs  # the same in every round
    state: TrainState  # before the round
    cohort: Cohort
    number: jax.Array  # int32, from 1
    lr: jax.Array  # float32, the clients' learning rate


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
