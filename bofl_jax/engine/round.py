"""One round: all clients in one compiled program, the server in a second.

The parts of a round are pure functions of a `Setting`, which is part of the program, and of arguments, which are not:
what stood in the program itself would be compiled anew for every seed.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import algorithms
from bofl_jax.aggregate import Gathered, Mean
from bofl_jax.algorithms.options import SharedOptions
from bofl_jax.core.digest_jax import digest_words
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.problem import FederatedProblem, ProgramInputs, program_inputs
from bofl_jax.ledger import RejectionReason
from bofl_jax.parallel.clients import ClientOutputs, ExecutionPlan, local_copy, map_clients, spans_processes, sum_blocks
from bofl_jax.partition import ClientIndices

Tree = Any


class TrainState(NamedTuple):
    """What persists from round to round, and all that a checkpoint holds.

    Attributes:
        params: what the server shares: the model's parameters, for most methods; () when nothing is shared.
        server: the aggregator's state.
        kept: what the clients keep to themselves (`Kept`); () for methods in which they keep nothing.
    """

    params: Tree
    server: Tree
    clients: Tree


class ClientStates(NamedTuple):
    """What clients keep from round to round, a row each."""

    joined: jax.Array  # bool[C], whether the client has worked before; its row means nothing otherwise
    state: Tree  # [C, ...]


class RoundInfo(NamedTuple):
    """What explains a round, a row for each of its M updates."""

    loss: jax.Array  # float32[M], mean training loss over the client's steps
    examples: jax.Array  # int32[M], samples seen
    verdict: jax.Array  # int32[M], `Refusal`: why the update had no influence; NONE: it had
    updates: Tree  # [M, ...] what arrived, where it is digested on the host or valued; () otherwise
    digests: Tree  # (uint32[M, 8] of what was sent, of what arrived), where the device digests; () otherwise


DigestLocation = Literal["off", "host", "device"]
"""Where updates are digested. On the host they have to leave the device; there is no need for any without a ledger."""


class RoundInputs(NamedTuple):
    """All that a compiled round is given."""

    pool: algorithms.Batch  # all N samples
    inputs: ProgramInputs  # what the run holds still
    state: TrainState  # before the round
    cohort: Cohort  # who works
    number: jax.Array  # int32, from 1
    lr: jax.Array  # float32, the clients' learning rate


CompiledRound = Callable[[TrainState, Cohort, int, float], tuple[TrainState, RoundInfo]]


def initial_state(setting: FederatedProblem) -> TrainState:
    """The state before the first round."""
    algorithm = setting.algorithm
    shared = algorithm.initial_shared(setting.initial_params)
    template = algorithm.init(setting.initial_params, algorithm.download(shared, jnp.int32(0)))
    kept: Tree = ()
    if jax.tree.leaves(template):
        clients = len(setting.training.size)
        own = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], clients, axis=0), template)
        kept = setting.plan.replicate(ClientStates(jnp.zeros(clients, bool), own))
    server = setting.plan.replicate(setting.aggregator.init(shared)) if setting.shares else ()
    return TrainState(setting.plan.replicate(shared), server, kept)


HOST_BYTES = 1 << 30
"""Updates that take more, all together, are digested one by one where they come about, also on a CPU."""


def digest_location(setting: FederatedProblem) -> DigestLocation:
    """On CPU `hashlib` is three times as fast, but has to have all updates at once; an accelerator keeps its updates.

    A channel is checked in the round. This follows from the configuration alone, not from what memory is free: another
    way rounds differently.
    """
    if setting.channel:
        return "device"
    if not setting.shares or setting.config.ledger.mode == "off":
        return "off"
    federation = setting.config.federation
    clients = (federation.cohort if isinstance(federation, SharedOptions) else None) or len(setting.training.size)
    update = sum(
        leaf.size * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(setting.algorithm.initial_shared(setting.initial_params))
    )
    on_host = jax.default_backend() == "cpu" and clients * update <= HOST_BYTES
    return "host" if on_host else "device"


def compile_round(
    setting: FederatedProblem, state: TrainState, cohort: Cohort, digests: DigestLocation
) -> CompiledRound:
    """Compile the programs of every round of a run, once: the clients' and, where there is a server, the server's.

    Args:
        state: the state before the first round, for its shapes.
        cohort: a cohort, for its size.
        digests: where updates are digested; on the host, they are returned.
    """
    held = setting.plan.replicate(program_inputs(setting))

    def given(state: TrainState, cohort: Cohort, number: int, lr: float) -> RoundInputs:
        drawn = setting.plan.put_round_inputs((cohort, np.int32(number), np.float32(lr)))
        return RoundInputs(setting.pool, held, state, *drawn)

    clients = functools.partial(client_phase, setting, digests)
    example = given(state, cohort, 1, 0.0)
    work = compile_for(setting.plan, clients, example)
    if not setting.shares:

        def alone(state: TrainState, cohort: Cohort, number: int, lr: float) -> tuple[TrainState, RoundInfo]:
            _, info, kept = work(given(state, cohort, number, lr))
            return state._replace(clients=kept), info

        return alone

    def at_home(tree: Tree) -> Tree:
        return jax.device_put(local_copy(tree), jax.local_devices()[0])

    held_at_home = at_home(held)
    server = at_home((state.params, state.server))
    sent = jax.eval_shape(clients, example)[0]
    serve = compile_for(setting.plan, functools.partial(server_phase, setting), held_at_home, *server, sent)

    def one_round(state: TrainState, cohort: Cohort, number: int, lr: float) -> tuple[TrainState, RoundInfo]:
        sent, info, kept = work(given(state, cohort, number, lr))
        after = serve(held_at_home, *at_home((state.params, state.server, sent)))
        shared, server = setting.plan.replicate(after)
        return TrainState(shared, server, kept), info

    return one_round


def round_step(setting: FederatedProblem, digests: DigestLocation, given: RoundInputs) -> tuple[TrainState, RoundInfo]:
    """Clients and server in one program, for runs that are carried out side by side."""
    state = given.state
    sent, info, kept = client_phase(setting, digests, given)
    if not setting.shares:
        return state._replace(clients=kept), info
    shared, server = server_phase(setting, given.inputs, state.params, state.server, sent)
    return TrainState(shared, server, kept), info


def compile_for(plan: ExecutionPlan, program: Callable, *arguments: Tree) -> Callable:
    """Compile ``program`` for these shapes ahead of time; a later call of another shape is an error, not a recompile.

    The ``loop`` executor stays plain Python. A program for devices of several processes returns everything to each.
    """
    if plan.execution == "loop":

        def interpret(*arguments: Tree) -> Tree:
            with jax.disable_jit():
                return program(*arguments)

        return interpret
    returned = plan.replicated() if spans_processes(arguments) else None
    return jax.jit(program, out_shardings=returned).lower(*arguments).compile()


def stack_client_tasks(
    root: jax.Array, rows: ClientIndices, cohort: Cohort, purpose: Purpose, number: jax.Array
) -> algorithms.ClientTask:
    """The work of the cohort's M clients in round ``number``, stacked."""
    keys = jax.vmap(lambda client: derive(root, purpose, number, client))(cohort.client)
    mine, size = (jnp.asarray(part)[cohort.client] for part in rows)
    return algorithms.ClientTask(mine, size, jnp.asarray(cohort.steps), keys)


class Uplink(NamedTuple):
    """What the server gets of a round."""

    sums: ClientOutputs  # weighted sums over the clients; of nothing where it gathers the updates
    gathered: Tree  # `aggregate.Gathered`, or ()


def client_phase(
    setting: FederatedProblem, digests: DigestLocation, given: RoundInputs
) -> tuple[Uplink, RoundInfo, Tree]:
    """What the clients do in a round: what they send, what explains it, and what they keep.

    Args:
        setting: of the run; its numbers are those that it is given.
        digests: where updates are digested.
        given: in this round.
    """
    pool, held, state, cohort, number, lr = given
    gathers, root = setting.aggregator.gathers, held.hyperparameters.root
    returned = digests == "host" or setting.keeps_updates

    def client(shared: Tree, each: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, everything, numbers, first, lr = shared
        work, cohort, kept, key = each
        algorithm = setting.with_hyperparameters(numbers).algorithm
        data = algorithms.local_data(setting.sampler, pool, mask_padding(live, work), lr)
        view = algorithm.download(everything, cohort.client)
        sent, kept, info = algorithm.train(view, load_client_state(algorithm, first, view, kept), data)
        received = transmit(setting, key, cohort.altered, sent)
        hashes = _digests(setting, sent, received) if digests == "device" else ()
        verdict = validate_update(cohort.rejection, hashes, received if setting.shares else info.loss)
        counts = live & (verdict == RejectionReason.NONE)
        weight = jnp.where(counts, cohort.weight, 0.0)
        part = () if gathers else jax.tree.map(lambda u: jnp.where(counts, weight * u, 0.0), received)
        updates = received if returned or gathers else ()
        return part, weight, (info, verdict, weight, updates, hashes, kept)

    work = stack_client_tasks(root, held.training, cohort, Purpose.TRAIN, number)
    keys = jax.vmap(lambda client: derive(root, Purpose.CHANNEL, number, client))(cohort.client)
    mine = jax.tree.map(lambda a: a[cohort.client], state.clients)
    shared = (pool, state.params, held.hyperparameters, held.initial_params, lr)
    out = map_clients(setting.plan, client, shared, (work, cohort, mine, keys))
    info, verdict, weight, updates, hashes, own = out.reports
    gathered = Gathered(updates, weight, jnp.asarray(cohort.client)) if gathers else ()
    explained = RoundInfo(info.loss, info.examples, verdict, updates if returned else (), hashes)
    return Uplink(out._replace(reports=()), gathered), explained, _scatter_client_state(state.clients, own, cohort)


def load_client_state(algorithm: algorithms.LocalAlgorithm, first: Tree, view: Tree, kept: Tree) -> Tree:
    """What one client kept (`Kept`, its row), or what it begins with if it has not worked before."""
    if not jax.tree.leaves(kept):
        return algorithm.init(first, view)
    return jax.tree.map(functools.partial(jnp.where, kept.joined), kept.own, algorithm.init(first, view))


def _scatter_client_state(kept: Tree, own: Tree, cohort: Cohort) -> Tree:
    """Store what the clients that were invited and worked keep from now on."""
    if not jax.tree.leaves(kept):
        return kept
    worked = (cohort.steps > 0) & (cohort.rejection == RejectionReason.NONE)
    place = jnp.where(worked, cohort.client, len(kept.joined))
    return ClientStates(
        kept.joined.at[place].set(True, mode="drop"),
        jax.tree.map(lambda all_, new: all_.at[place].set(new, mode="drop"), kept.own, own),
    )


def mask_padding(live: jax.Array, work: algorithms.ClientTask) -> algorithms.ClientTask:
    """The same work, or none for a row of padding."""
    return work._replace(steps=jnp.where(live, work.steps, 0))


def _digests(setting: FederatedProblem, sent: Tree, received: Tree) -> tuple[jax.Array, jax.Array]:
    """uint32[8] each: of what was sent and of what arrived; one and the same where nothing can come in between."""
    if setting.channel is None:
        digest = digest_words(sent)
        return digest, digest
    pair = jax.tree.map(lambda *both: jnp.stack(both), sent, received)  # side by side: hashing takes long to compile
    sent_digest, received_digest = jax.vmap(digest_words)(pair)
    return sent_digest, received_digest


def transmit(setting: FederatedProblem, key: jax.Array, altered: jax.Array, update: Tree) -> Tree:
    """What arrives of one update."""
    if setting.channel is None:
        return update
    return jax.tree.map(lambda lie, truth: jnp.where(altered, lie, truth), setting.channel(key, update), update)


def validate_update(known: jax.Array, hashes: tuple[jax.Array, ...], received: Tree) -> jax.Array:
    """int32: why one update must have no influence (`Refusal`).

    Args:
        known: int32, the reason that was known before it arrived.
        hashes: the digests of what was sent and of what arrived; () where nothing can come in between.
        received: what arrived.
    """
    verdict = jnp.where(all_finite(received), RejectionReason.NONE, RejectionReason.NOT_FINITE)
    if hashes:
        sent, arrived = hashes
        verdict = jnp.where(jnp.array_equal(sent, arrived), verdict, RejectionReason.DIGEST_MISMATCH)
    return jnp.where(known == RejectionReason.NONE, verdict, known).astype(jnp.int32)


def server_phase(
    setting: FederatedProblem, held: ProgramInputs, shared: Tree, server: Tree, sent: Uplink
) -> tuple[Tree, Tree]:
    """Aggregate: what is shared from now on, and the server's state. A round without any weight leaves both alone."""
    aggregator = setting.with_hyperparameters(held.hyperparameters).aggregator
    total, weight = sum_blocks(sent.sums)
    received: Mean | Gathered = sent.gathered
    if not aggregator.gathers:
        mean = jax.tree.map(lambda summed: summed / jnp.maximum(weight, 1.0), total)
        received = Mean(mean, weight / held.weight)
    after = aggregator.step(server, shared, received)
    server, shared = jax.tree.map(functools.partial(jnp.where, weight > 0), after, (server, shared))
    return shared, server


def all_finite(tree: Tree) -> jax.Array:
    """Whether a pytree holds neither NaN nor infinity."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def mean_loss(info: RoundInfo, cohort: Cohort) -> float:
    """The round's training loss: over the clients that count, weighted by their training samples."""
    counts = (np.asarray(info.verdict) == RejectionReason.NONE) * cohort.weight
    return float(np.sum(np.where(counts > 0, info.loss, 0) * counts) / max(counts.sum(), 1))
