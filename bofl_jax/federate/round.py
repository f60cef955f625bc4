"""One round: all clients in one compiled program, the server in a second."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import local
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.federate.cohort import Cohort
from bofl_jax.federate.execute import Outcome, Plan, add_up, run_clients
from bofl_jax.federate.setting import Setting
from bofl_jax.ledger import Refusal
from bofl_jax.ledger.device import digest_words
from bofl_jax.partition import Rows

Tree = Any


class TrainState(NamedTuple):
    """What persists from round to round, and all that a checkpoint holds.

    Attributes:
        params: the server's parameters; () when nothing is shared.
        server: the aggregator's state.
        kept: the clients' own states ``[C, ...]`` (local-only and centralised training); () otherwise.
    """

    params: Tree
    server: Tree
    kept: Tree


class RoundInfo(NamedTuple):
    """What explains a round, a row for each of its M updates."""

    loss: jax.Array  # float32[M], mean training loss over the client's steps
    examples: jax.Array  # int32[M], samples seen
    verdict: jax.Array  # int32[M], `Refusal`: why the update had no influence; NONE: it had
    updates: Tree  # [M, ...] the updates, where they are digested on the host; () otherwise
    digests: Tree  # (uint32[M, 8] of what was sent, of what arrived), where the device digests; () otherwise


Digesting = Literal["off", "host", "device"]
"""Where updates are digested. On the host they have to leave the device; there is no need for any without a ledger."""


class RoundInput(NamedTuple):
    """All that a compiled round is given."""

    state: TrainState
    pool: local.Batch  # all N samples
    rows: Rows  # every client's training rows
    cohort: Cohort
    number: jax.Array  # int32, from 1
    lr: jax.Array  # float32


Round = Callable[[TrainState, Cohort, int, float], tuple[TrainState, RoundInfo]]


def start(setting: Setting, params: Tree) -> TrainState:
    """The state before the first round."""
    if setting.shares:
        return TrainState(params, setting.aggregator.init(params), ())
    state = setting.algorithm.init(params)
    clients = len(setting.training.size)
    return TrainState((), (), jax.tree.map(lambda a: jnp.repeat(a[None], clients, axis=0), state))


def digesting(setting: Setting) -> Digesting:
    """On CPU `hashlib` is three times as fast; an accelerator keeps its updates; a channel is checked in the round."""
    if setting.channel:
        return "device"
    if not setting.shares or setting.config.ledger.mode == "off":
        return "off"
    return "host" if jax.default_backend() == "cpu" else "device"


def compile_round(setting: Setting, state: TrainState, cohort: Cohort, digests: Digesting) -> Round:
    """Compile the programs of every round of a run, once: the clients' and, where there is a server, the server's.

    Args:
        state: the state before the first round, for its shapes.
        cohort: a cohort, for its size.
        digests: where updates are digested; on the host, they are returned.
    """
    rows = jax.tree.map(jnp.asarray, setting.training)

    def given(state: TrainState, cohort: Cohort, number: int, lr: float) -> RoundInput:
        cohort = jax.tree.map(jnp.asarray, cohort)
        return RoundInput(state, setting.pool, rows, cohort, jnp.int32(number), jnp.float32(lr))

    first = given(state, cohort, 1, 0.0)
    if not setting.shares:
        alone = compile_for(setting.plan, functools.partial(_kept_round, setting), first)
        return lambda state, cohort, number, lr: alone(given(state, cohort, number, lr))

    clients = functools.partial(_shared_round, setting, digests)
    work = compile_for(setting.plan, clients, first)
    home = jax.devices()[0]
    example = jax.eval_shape(clients, first)[0]
    serve = compile_for(setting.plan, functools.partial(_server_step, setting), jax.device_put(state, home), example)

    def one_round(state: TrainState, cohort: Cohort, number: int, lr: float) -> tuple[TrainState, RoundInfo]:
        sums, info = work(given(state, cohort, number, lr))
        return setting.plan.replicate(serve(*jax.device_put((state, sums), home))), info

    return one_round


def compile_for(plan: Plan, program: Callable, *arguments: Tree) -> Callable:
    """Compile ``program`` for these shapes ahead of time; a later call of another shape is an error, not a recompile.

    The ``loop`` executor stays plain Python.
    """
    if plan.execution == "loop":

        def interpret(*arguments: Tree) -> Tree:
            with jax.disable_jit():
                return program(*arguments)

        return interpret
    return jax.jit(program).lower(*arguments).compile()


def works(setting: Setting, rows: Rows, cohort: Cohort, purpose: Purpose, number: jax.Array) -> local.Work:
    """The work of the cohort's M clients in round ``number``, stacked."""
    keys = jax.vmap(lambda client: derive(setting.root, purpose, number, client))(cohort.client)
    mine, size = (jnp.asarray(part)[cohort.client] for part in rows)
    return local.Work(mine, size, jnp.asarray(cohort.steps), keys)


def _shared_round(setting: Setting, digests: Digesting, given: RoundInput) -> tuple[Outcome, RoundInfo]:
    """The clients' part of a round with a server; the sums go on to ``_server_step``."""

    def client(shared: Tree, each: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, anchor, lr = shared
        work, cohort, key = each
        work = work._replace(steps=jnp.where(live, work.steps, 0))
        trained, info = local.train(
            setting.algorithm, setting.sampler, pool, anchor, setting.algorithm.init(anchor), work, lr
        )
        sent = jax.tree.map(jnp.subtract, setting.algorithm.params(trained), anchor)
        received = send(setting, key, cohort.altered, sent)
        hashes = _digests(setting, sent, received) if digests == "device" else ()
        verdict = judge(cohort.refusal, hashes, received)
        counts = live & (verdict == Refusal.NONE)
        weight = jnp.where(counts, cohort.weight, 0.0)
        part = jax.tree.map(lambda u: jnp.where(counts, weight * u, 0.0), received)
        return part, weight, (info, verdict, received if digests == "host" else (), hashes)

    work = works(setting, given.rows, given.cohort, Purpose.TRAIN, given.number)
    keys = jax.vmap(lambda client: derive(setting.root, Purpose.CHANNEL, given.number, client))(given.cohort.client)
    shared = (given.pool, given.state.params, given.lr)
    out = run_clients(setting.plan, client, shared, (work, given.cohort, keys))
    info, verdict, updates, hashes = out.each
    return out._replace(each=()), RoundInfo(info.loss, info.examples, verdict, updates, hashes)


def _digests(setting: Setting, sent: Tree, received: Tree) -> tuple[jax.Array, jax.Array]:
    """uint32[8] each: of what was sent and of what arrived; one and the same where nothing can come in between."""
    if setting.channel is None:
        digest = digest_words(sent)
        return digest, digest
    pair = jax.tree.map(lambda *both: jnp.stack(both), sent, received)  # side by side: hashing takes long to compile
    sent_digest, received_digest = jax.vmap(digest_words)(pair)
    return sent_digest, received_digest


def send(setting: Setting, key: jax.Array, altered: jax.Array, update: Tree) -> Tree:
    """What arrives of one update."""
    if setting.channel is None:
        return update
    return jax.tree.map(lambda lie, truth: jnp.where(altered, lie, truth), setting.channel(key, update), update)


def judge(known: jax.Array, hashes: tuple[jax.Array, ...], received: Tree) -> jax.Array:
    """int32: why one update must have no influence (`Refusal`).

    Args:
        known: int32, the reason that was known before it arrived.
        hashes: the digests of what was sent and of what arrived; () where nothing can come in between.
        received: what arrived.
    """
    verdict = jnp.where(all_finite(received), Refusal.NONE, Refusal.NOT_FINITE)
    if hashes:
        sent, arrived = hashes
        verdict = jnp.where(jnp.array_equal(sent, arrived), verdict, Refusal.DIGEST_MISMATCH)
    return jnp.where(known == Refusal.NONE, verdict, known).astype(jnp.int32)


def _server_step(setting: Setting, state: TrainState, sums: Outcome) -> TrainState:
    """Aggregate; a round without any weight leaves the model as it is."""
    total, weight = add_up(sums)
    mean = jax.tree.map(lambda summed: summed / jnp.maximum(weight, 1.0), total)
    server, params = setting.aggregator.step(state.server, state.params, mean)
    return TrainState(params, server, ())


def _kept_round(setting: Setting, given: RoundInput) -> tuple[TrainState, RoundInfo]:
    """A round without a server: every client goes on from the state that it kept."""
    state, clients = given.state, given.cohort.client
    mine = jax.tree.map(lambda a: a[clients], state.kept)
    work = works(setting, given.rows, given.cohort, Purpose.TRAIN, given.number)
    out = continue_training(setting, setting.algorithm, given.pool, mine, work, given.lr)
    kept = jax.tree.map(lambda all_, new: all_.at[clients].set(new), state.kept, out.each[0])
    info = out.each[1]
    verdict = jnp.where(jnp.isfinite(info.loss), Refusal.NONE, Refusal.NOT_FINITE).astype(jnp.int32)
    return state._replace(kept=kept), RoundInfo(info.loss, info.examples, verdict, (), ())


def continue_training(
    setting: Setting, algorithm: local.LocalAlgorithm, pool: local.Batch, states: Tree, work: local.Work, lr: jax.Array
) -> Outcome:
    """Let each of M clients go on from its own state ``[M, ...]``; ``each`` of the outcome is (states, info)."""

    def client(shared: Tree, each: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, lr = shared
        mine, work = each
        work = work._replace(steps=jnp.where(live, work.steps, 0))
        anchor = algorithm.params(mine)
        return (), jnp.float32(0), local.train(algorithm, setting.sampler, pool, anchor, mine, work, lr)

    return run_clients(setting.plan, client, (pool, lr), (states, work))


def all_finite(tree: Tree) -> jax.Array:
    """Whether a pytree holds neither NaN nor infinity."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def mean_loss(info: RoundInfo, cohort: Cohort) -> float:
    """The round's training loss: over the clients that count, weighted by their training samples."""
    counts = (np.asarray(info.verdict) == Refusal.NONE) * cohort.weight
    return float(np.sum(np.where(counts > 0, info.loss, 0) * counts) / max(counts.sum(), 1))
