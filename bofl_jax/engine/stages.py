"""The stages that an update passes between local training and the server optimiser.

Each stage is a pure function whose result has the type of its argument, and any stage may be absent:

    batch -> [data stages] -> local algorithm -> [client stages] -> digest -> [channel stages] -> verdict
          -> reduction over the clients -> [server stages] -> server optimiser

A malicious client acts in a data or client stage, before the digest: it signs what it sends, and only a robust rule
helps. A malicious channel acts after the digest, which detects it. Clipping and noise are client or server stages.
Stages are written for ONE client; they never see a client axis.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from bofl_jax import attacks
from bofl_jax.aggregate import ReducedUpdate
from bofl_jax.algorithms import Batch
from bofl_jax.config import Config
from bofl_jax.core.keys import Purpose, derive

Tree = Any
T = TypeVar("T")


class ClientContext(NamedTuple):
    """What a stage of one client may know, besides its argument."""

    root: jax.Array  # root key of the run
    number: jax.Array  # int32, round, from 1
    client: jax.Array  # int32, index of the client
    altered: jax.Array  # bool, whether the channel alters this client's update

    def key(self, purpose: Purpose) -> jax.Array:
        """The key of this client in this round for one purpose; every stage has a purpose of its own."""
        return derive(self.root, purpose, self.number, self.client)


class ServerContext(NamedTuple):
    """What a stage of the server may know, besides its argument."""

    root: jax.Array  # root key of the run
    number: jax.Array  # int32, round, from 1

    def key(self, purpose: Purpose) -> jax.Array:
        """The key of this round for one purpose; every stage has a purpose of its own."""
        return derive(self.root, purpose, self.number)


class BatchStage(Protocol):
    """Call signature of a stage on the batches of a client."""

    def __call__(self, context: ClientContext, batch: Batch, /) -> Batch:
        """Return the batch that the client trains on."""
        ...


class UpdateStage(Protocol):
    """Call signature of a stage on the update of a client."""

    def __call__(self, context: ClientContext, update: Tree, /) -> Tree:
        """Return an update of the same structure, shapes and types."""
        ...


class ReducedStage(Protocol):
    """Call signature of a stage on the reduced update."""

    def __call__(self, context: ServerContext, reduced: ReducedUpdate, /) -> ReducedUpdate:
        """Return the reduced update that the server optimiser applies."""
        ...


class Stages(NamedTuple):
    """The stages of a run; each group is applied in order.

    Attributes:
        data: on every batch, for example an attack on the data.
        client: on the update before its digest, for example an attack, clipping, noise, quantisation, masking.
        channel: on the update after its digest.
        server: on the reduced update, for example noise.
    """

    data: tuple[BatchStage, ...] = ()
    client: tuple[UpdateStage, ...] = ()
    channel: tuple[UpdateStage, ...] = ()
    server: tuple[ReducedStage, ...] = ()


class _Stage(Protocol[T]):
    def __call__(self, context: Any, value: T, /) -> T: ...


def apply_stages(stages: Sequence[_Stage[T]], context: ClientContext | ServerContext, value: T) -> T:
    """Apply stages one after another.

    Args:
        stages: pure functions ``(context, value) -> value``.
        context: what they may know besides the value.
        value: argument of the first stage.
    """
    return functools.reduce(lambda value, stage: stage(context, value), stages, value)


def build_stages(config: Config) -> Stages:
    """The stages that a configuration asks for."""
    channel = attacks.channel(config.adversary)
    return Stages(channel=(altering(channel),) if channel else ())


def altering(channel: attacks.Channel) -> UpdateStage:
    """The channel stage that alters the updates of those clients whose context says so."""

    def transmit(context: ClientContext, update: Tree) -> Tree:
        altered = channel(context.key(Purpose.CHANNEL), update)
        return jax.tree.map(lambda lie, truth: jnp.where(context.altered, lie, truth), altered, update)

    return transmit
