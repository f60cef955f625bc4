"""Fitting a generator over the clients of a run: federated, each client alone, or on pooled data as a reference."""

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
from bofl_jax.synthesis.base import (
    ClientSamples,
    Fitted,
    Generator,
    SampleFn,
    Stage,
    State,
    SyntheticSamples,
    fitted_digest,
)
from bofl_jax.synthesis.options import TrainingMode

Tree = Any


class DivergedError(BoflError):
    """The training of a generator produced NaN or infinity.

    Attributes:
        last_good: the state before the round that diverged.
    """

    def __init__(self, message: str, last_good: State) -> None:
        super().__init__(message)
        self.last_good = last_good


class FitInputs(NamedTuple):
    """The data that a generator is fitted to, and how clients run.

    Attributes:
        plan: how clients run.
        pool: all N samples.
        rows: the samples that each client's generator may use.
        labels: int[N], class of every sample.
        classes: K.
        root: root key of the run.
    """

    plan: ExecutionPlan
    pool: algorithms.Batch
    rows: ClientIndices
    labels: np.ndarray
    classes: int
    root: jax.Array


class FittedGenerators(NamedTuple):
    """One fitted generator for all clients, or one for each.

    Attributes:
        generator: the generator that was fitted.
        training: how it was fitted.
        fitted: pytree of arrays ``[G, ...]`` on the host, G = 1 or C.
        train_counts: int[G, K], samples of every class that each was fitted to.
    """

    generator: Generator
    training: TrainingMode
    fitted: Fitted
    train_counts: np.ndarray

    def index_of(self, client: int) -> int:
        """The row of the generator that a client draws from."""
        return client if self.training == "local" else 0

    def source_count(self, client: int, label: int) -> int:
        """The number of training samples from which a client's generator makes a class."""
        return int(self.train_counts[self.index_of(client), self.generator.source_of(label)])

    def can_sample(self, client: int, label: int) -> bool:
        """Whether a client can draw a class."""
        return self.source_count(client, label) >= self.generator.min_samples

    def fitted_for(self, client: int) -> Fitted:
        """The fitted generator of a client."""
        return jax.tree.map(lambda leaf: leaf[self.index_of(client)], self.fitted)

    def digest(self, client: int) -> bytes:
        """32 bytes that identify the fitted generator of a client."""
        return fitted_digest(self.fitted_for(client))

    def sample(self, key: jax.Array, client: int, label: int, n: int) -> SyntheticSamples:
        """Draw samples of a class. Callers must hold an approval of the contract: see `workflow.balance`.

        Args:
            key: random key.
            client: index of the client.
            label: index of the class.
            n: number of samples.

        Returns:
            Arrays on the host.
        """
        size = 1 << max(0, n - 1).bit_length()  # few sizes, so that few programs are compiled
        samples = _sample(self.generator.sample, self.fitted_for(client), key, jnp.int32(label), size)
        on_host: SyntheticSamples = jax.tree.map(lambda part: np.asarray(part)[:n], samples)
        return on_host


@functools.partial(jax.jit, static_argnums=(0, 4))
def _sample(sample: SampleFn, fitted: Fitted, key: jax.Array, label: jax.Array, n: int) -> SyntheticSamples:
    return sample(fitted, key, label, n)


def fit(generator: Generator, inputs: FitInputs, training: TrainingMode) -> FittedGenerators:
    """Fit a generator.

    Args:
        generator: the generator.
        inputs: data, and how clients run.
        training: ``federated``, ``local`` or ``pooled``.

    Raises:
        DivergedError: if its state or loss is not finite any more.
    """
    if training == "pooled":
        inputs = inputs._replace(rows=pack([inputs.rows.flat()[0]]))
    rows = map(inputs.rows.of, range(len(inputs.rows.size)))
    counts = np.stack([np.bincount(inputs.labels[own], minlength=inputs.classes) for own in rows])
    train = _train_federated if training == "federated" else _train_locally
    state = train(generator, inputs, derive(inputs.root, Purpose.SYNTHESIS, 0))
    if training == "federated":
        state, counts = jax.tree.map(lambda leaf: leaf[None], state), counts.sum(axis=0, keepdims=True)
    return FittedGenerators(generator, training, _finalize(generator, inputs.plan, state), counts)


def _finalize(generator: Generator, plan: ExecutionPlan, state: State) -> Fitted:
    """The fitted generators of states ``[G, ...]``, on the host.

    They are computed one at a time, whatever the plan: two simultaneous calls of jaxlib's batched eigendecomposition on
    a CPU wait for each other's threads for ever.
    """
    sequential = plan if plan.execution == "loop" else plan._replace(execution="map", width=1)

    def client(_: Tree, state: State, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        return (), jnp.float32(0), skip_padding(live, generator.finalize, state)

    program = jax.jit(lambda state: map_clients(sequential, client, (), state).reports)
    return jax.device_get(program(state))


def _train_federated(generator: Generator, inputs: FitInputs, key: jax.Array) -> State:
    """Rounds of client updates and weighted averaging, from one initial state."""
    participants = np.flatnonzero(inputs.rows.size)
    rows = (*(part[participants] for part in inputs.rows), jnp.asarray(participants))
    # Hundreds of arrays cost more to pass than one.
    state, unravel = ravel_pytree(generator.init(jax.random.fold_in(key, 0)))
    for stage_number, stage in enumerate(generator.stages):

        def client(shared: Tree, task: Tree, live: jax.Array, stage: Stage = stage) -> tuple[Tree, jax.Array, Tree]:
            pool, state, key = shared
            indices, size, number = task
            weight = jnp.where(live, size, 0).astype(jnp.float32)
            samples, client_key = _client_samples(pool, indices, size), jax.random.fold_in(key, number)
            after, loss = skip_padding(live, stage.client_update, unravel(state), samples, client_key)
            return weight * ravel_pytree(after)[0], weight, loss

        program = jax.jit(functools.partial(map_clients, inputs.plan, client))
        for number in range(stage.rounds):
            outputs = program((inputs.pool, state, _round_key(key, stage_number, number)), rows)
            total, weight = sum_blocks(outputs)
            after = total / weight
            if not _all_finite((outputs.reports, after)):
                raise _diverged(generator, stage, number, unravel(state))
            state = after
    return unravel(state)


def _train_locally(generator: Generator, inputs: FitInputs, key: jax.Array) -> State:
    """The same rounds without averaging: the state of every client, ``[C, ...]``."""
    clients = np.arange(len(inputs.rows.size))
    state = jax.vmap(lambda client: generator.init(jax.random.fold_in(jax.random.fold_in(key, 0), client)))(clients)
    for stage_number, stage in enumerate(generator.stages):

        def client(shared: Tree, task: Tree, live: jax.Array, stage: Stage = stage) -> tuple[Tree, jax.Array, Tree]:
            pool, key = shared
            indices, size, number, state = task
            samples, client_key = _client_samples(pool, indices, size), jax.random.fold_in(key, number)
            return (), jnp.float32(0), skip_padding(live, stage.client_update, state, samples, client_key)

        program = jax.jit(functools.partial(map_clients, inputs.plan, client))
        for number in range(stage.rounds):
            shared = inputs.pool, _round_key(key, stage_number, number)
            after, loss = program(shared, (*inputs.rows, jnp.asarray(clients), state)).reports
            if not _all_finite((loss, after), inputs.rows.size > 0):
                raise _diverged(generator, stage, number, state)
            state = after
    return state


def _round_key(key: jax.Array, stage: int, number: int) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(key, 1 + stage), number)


def _client_samples(pool: algorithms.Batch, indices: jax.Array, size: jax.Array) -> ClientSamples:
    return ClientSamples(*algorithms.take(pool, indices), size)


@jax.jit
def _all_finite(tree: Tree, clients: jax.Array | bool = True) -> jax.Array:
    """bool[]: whether all arrays are finite, the only value that the host waits for after a round.

    Args:
        tree: arrays, or with ``clients`` arrays ``[C, ...]``.
        clients: bool[C], the rows that count.
    """

    def finite(leaf: jax.Array) -> jax.Array:
        return (jnp.isfinite(leaf).all(axis=range(1, leaf.ndim)) | ~jnp.asarray(clients)).all()

    return jnp.stack([finite(leaf) for leaf in jax.tree.leaves(tree)]).all()


def _diverged(generator: Generator, stage: Stage, number: int, before: State) -> DivergedError:
    return DivergedError(
        f"generator {generator.name}, phase {stage.name}, round {number + 1} of {stage.rounds}: training came to NaN "
        "or infinity: lower synthesis.lr, or choose another synthesis.generator",
        before,
    )
