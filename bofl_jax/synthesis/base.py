"""A generator of synthetic windows: how clients fit it without pooling data, and how it draws.

A generator is written for ONE client, as a local algorithm is: `Stage.work` is what one client does in one round, from
the state that all share to the state that it would have instead. Who calls it decides how the generator is trained:

- ``federated``: the next shared state is the mean of the clients' states, weighted by their samples;
- ``local``: every client goes on from its own state, and there are as many generators as clients;
- ``pooled``: one client holds everybody's samples. It breaks the promise of federated learning: a reference only.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.core.digest import digest
from bofl_jax.core.serialization import canonical_bytes

State = Any
Fitted = Any

Training = Literal["federated", "local", "pooled"]


class Shape(NamedTuple):
    """What a sample looks like."""

    window: int  # T, time samples
    leads: int  # L
    features: int  # F
    classes: int  # K
    fs: float  # Hz


class Examples(NamedTuple):
    """The samples of one client; rows from ``size`` on are padding, which must not influence anything."""

    x: jax.Array  # float32[N, T, L]
    features: jax.Array  # float32[N, F]
    y: jax.Array  # int32[N]
    size: jax.Array  # int32[]

    @property
    def real(self) -> jax.Array:
        """bool[N]: which rows are no padding."""
        return jnp.arange(len(self.y)) < self.size


class Drawn(NamedTuple):
    """n samples of one class."""

    x: jax.Array  # float32[n, T, L]
    features: jax.Array  # float32[n, F]


class Stage(NamedTuple):
    """A part of a generator's training.

    Attributes:
        name: what it is called where something goes wrong in it.
        rounds: how often clients work and average.
        work: state, one client's samples, key -> its new state, and the mean loss float32[] (0 where there is none).
    """

    name: str
    rounds: int
    work: Callable[[State, Examples, jax.Array], tuple[State, jax.Array]]


class Generator(NamedTuple):
    """A generator that has not seen any data.

    Attributes:
        name: in the configuration.
        trainings: the ways of training that make sense for it.
        least: samples of a class that it must have seen to draw from it (of class 0, where ``from_normal``).
        from_normal: whether it makes every class from a client's samples of class 0.
        start: key -> the state before the first stage. Every leaf is a float32 array, so that states can be
            averaged; if they are, its shape stays.
        stages: in order.
        finish: the state after the last stage -> what drawing needs. Its digest names the generator on the ledger.
        sample: fitted, key, label int32[], n (static) -> n samples.
    """

    name: str
    trainings: tuple[Training, ...]
    least: int
    from_normal: bool
    start: Callable[[jax.Array], State]
    stages: tuple[Stage, ...]
    finish: Callable[[State], Fitted]
    sample: Callable[[Fitted, jax.Array, jax.Array, int], Drawn]


def flat(x: jax.Array, features: jax.Array) -> jax.Array:
    """``x[N,T,L], features[N,F] -> [N, T*L + F]``: a sample as one vector."""
    return jnp.concatenate([x.reshape(len(x), -1), features], axis=1)


def unflat(vectors: jax.Array, shape: Shape) -> Drawn:
    """The samples that vectors ``[n, T*L + F]`` stand for."""
    cut = shape.window * shape.leads
    return Drawn(vectors[:, :cut].reshape(-1, shape.window, shape.leads), vectors[:, cut:])


def fitted_digest(fitted: Fitted) -> bytes:
    """32 bytes that name a fitted generator: the digest of its arrays, as that of a model."""
    return digest(*canonical_bytes(fitted))
