"""Fitting a generator over the clients of a run: together, each alone, or on pooled data as a reference."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from bofl_jax import algorithms
from bofl_jax.core.errors import BoflError
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.parallel.clients import ExecutionPlan, map_clients, skip_padding, sum_blocks
from bofl_jax.partition import ClientIndices, pack
from bofl_jax.synthesis.base import Drawn, Examples, Fitted, Generator, Stage, Training, fitted_digest

Tree = Any


class DivergedError(BoflError):
    """A generator's training came to NaN or infinity.

    Attributes:
        last_good: the state before the round in which it did.
    """

    def __init__(self, message: str, last_good: Tree) -> None:
        super().__init__(message)
        self.last_good = last_good


class FittedGenerators(NamedTuple):
    """One fitted generator for all clients, or one for each.

    Attributes:
        generator: what was fitted.
        training: how.
        fitted: pytree of arrays ``[G, ...]``, G = 1 or C, on the host.
        seen: int[G, K], samples of every class that it was fitted to.
    """

    generator: Generator
    training: Training
    fitted: Fitted
    seen: np.ndarray

    def row(self, client: int) -> int:
        """Whose generator a client draws from."""
        return client if self.training == "local" else 0

    def knows(self, client: int, label: int) -> bool:
        """Whether a client can draw a class from it."""
        basis = 0 if self.generator.from_normal else label
        return bool(self.seen[self.row(client), basis] >= self.generator.least)

    def of(self, client: int) -> Fitted:
        """A client's fitted generator."""
        return jax.tree.map(lambda leaf: leaf[self.row(client)], self.fitted)

    def digest(self, client: int) -> bytes:
        """32 bytes that name it."""
        return fitted_digest(self.of(client))

    def sample(self, key: jax.Array, client: int, label: int, n: int) -> Drawn:
        """n samples of a class, on the host. Who calls this must hold an approval: see `balance`."""
        most = 1 << max(0, n - 1).bit_length()  # few sizes, so that few programs are compiled
        drawn = _sample(self.generator.sample, self.of(client), key, jnp.int32(label), most)
        return jax.tree.map(lambda part: np.asarray(part)[:n], drawn)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _sample(sample: Any, fitted: Fitted, key: jax.Array, label: jax.Array, n: int) -> Drawn:
    return sample(fitted, key, label, n)


def fit(
    generator: Generator,
    plan: ExecutionPlan,
    pool: algorithms.Batch,
    rows: ClientIndices,
    labels: np.ndarray,
    classes: int,
    training: Training,
    root: jax.Array,
) -> FittedGenerators:
    """Fit a generator.

    Args:
        generator: what to fit.
        plan: how clients run.
        pool: all samples.
        rows: those that every client may show it.
        labels: int[N], class of every sample.
        classes: K.
        training: together, alone or pooled.
        root: the run's root key.

    Raises:
        DivergedError: if its state or loss is not a number any more.
    """
    if training == "pooled":
        rows = pack([rows.flat()[0]])
    seen = np.stack([np.bincount(labels[rows.of(row)], minlength=classes) for row in range(len(rows.size))])
    training_of = _together if training == "federated" else _apart
    state = training_of(generator, plan, pool, rows, derive(root, Purpose.SYNTHESIS, 0))
    if training == "federated":
        state, seen = jax.tree.map(lambda leaf: leaf[None], state), seen.sum(axis=0, keepdims=True)
    return FittedGenerators(generator, training, _finish(generator, plan, state), seen)


def _finish(generator: Generator, plan: ExecutionPlan, state: Tree) -> Fitted:
    """What drawing needs, of every row: ``[G, ...]``, on the host.

    One row at a time, whatever the plan: of jaxlib's batched eigenvectors, two calls at once on a CPU wait for each
    other's threads for ever.
    """
    one_by_one = plan if plan.execution == "loop" else plan._replace(execution="map", width=1)

    def client(_: Tree, state: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        return (), jnp.float32(0), skip_padding(live, generator.finish, state)

    work = jax.jit(lambda state: map_clients(one_by_one, client, (), state).reports)
    return jax.device_get(work(state))


def _together(
    generator: Generator, plan: ExecutionPlan, pool: algorithms.Batch, rows: ClientIndices, key: jax.Array
) -> Tree:
    """Rounds of work and weighted averaging, from one state."""
    keep = np.flatnonzero(rows.size)
    rows = ClientIndices(rows.sample[keep], rows.size[keep])
    state, unravel = ravel_pytree(generator.start(jax.random.fold_in(key, 0)))  # hundreds of arrays cost more to pass
    for stage_number, stage in enumerate(generator.stages):

        def client(shared: Tree, each: Tree, live: jax.Array, stage: Stage = stage) -> tuple[Tree, jax.Array, Tree]:
            pool, state, key = shared
            sample, size, index = each
            weight = jnp.where(live, size, 0).astype(jnp.float32)
            own = jax.random.fold_in(key, index)
            after, loss = skip_padding(live, stage.work, unravel(state), _examples(pool, sample, size), own)
            return weight * ravel_pytree(after)[0], weight, loss

        work = jax.jit(functools.partial(map_clients, plan, client))
        for number in range(stage.rounds):
            round_key = jax.random.fold_in(jax.random.fold_in(key, 1 + stage_number), number)
            outcome = work((pool, state, round_key), (*rows, jnp.asarray(keep)))
            total, weight = sum_blocks(outcome)
            after = total / weight
            if not _finite((outcome.each, after)):
                raise _diverged(generator, stage, number, unravel(state))
            state = after
    return unravel(state)


def _apart(
    generator: Generator, plan: ExecutionPlan, pool: algorithms.Batch, rows: ClientIndices, key: jax.Array
) -> Tree:
    """The same rounds, every client from its own state: ``[C, ...]``."""
    clients = np.arange(len(rows.size))
    state = jax.vmap(lambda client: generator.start(jax.random.fold_in(jax.random.fold_in(key, 0), client)))(clients)
    for stage_number, stage in enumerate(generator.stages):

        def client(shared: Tree, each: Tree, live: jax.Array, stage: Stage = stage) -> tuple[Tree, jax.Array, Tree]:
            pool, key = shared
            sample, size, index, state = each
            own = jax.random.fold_in(key, index)
            result = skip_padding(live, stage.work, state, _examples(pool, sample, size), own)
            return (), jnp.float32(0), result

        work = jax.jit(functools.partial(map_clients, plan, client))
        for number in range(stage.rounds):
            round_key = jax.random.fold_in(jax.random.fold_in(key, 1 + stage_number), number)
            after, loss = work((pool, round_key), (*rows, jnp.asarray(clients), state)).each
            if not _finite((loss, after), rows.size > 0):
                raise _diverged(generator, stage, number, state)
            state = after
    return state


def _examples(pool: algorithms.Batch, sample: jax.Array, size: jax.Array) -> Examples:
    return Examples(*algorithms.take(pool, sample), size)


@jax.jit
def _finite(tree: Tree, clients: jax.Array | bool = True) -> jax.Array:
    """bool[]: all that the host has to wait for after a round. ``clients`` bool[C]: of which rows of the arrays."""

    def finite(leaf: jax.Array) -> jax.Array:
        return (jnp.isfinite(leaf).all(axis=range(1, leaf.ndim)) | ~jnp.asarray(clients)).all()

    return jnp.stack([finite(leaf) for leaf in jax.tree.leaves(tree)]).all()


def _diverged(generator: Generator, stage: Stage, number: int, before: Tree) -> DivergedError:
    return DivergedError(
        f"generator {generator.name}, phase {stage.name}, round {number + 1} of {stage.rounds}: training came to NaN "
        "or infinity: lower synthesis.lr, or choose another synthesis.generator",
        before,
    )
