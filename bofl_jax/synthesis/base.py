"""The interface of generators of synthetic samples: how clients fit one without pooling data, and how it draws.

A generator is written for ONE client, as a local algorithm is. `Stage.client_update` is what one client computes in one
round. The value of ``synthesis.training`` decides how the results of clients are combined (`bofl_jax.balancing.fit`):

- ``federated``: the next shared state is the mean of the clients' states, weighted by their numbers of samples;
- ``local``: every client continues from its own state, and there are as many fitted generators as clients;
- ``pooled``: one client holds the samples of all. This gives up the privacy of federated learning: a reference only.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from bofl_jax.core.digest import digest
from bofl_jax.core.serialization import canonical_bytes

State = Any
"""A pytree of float32 arrays: a generator during training."""
Fitted = Any
"""A pytree of arrays: a generator after training."""


class SampleShape(NamedTuple):
    """Sizes and class names of the samples that a generator is built for."""

    window: int  # T, time samples
    leads: int  # L
    features: int  # F
    classes: tuple[str, ...]  # K names
    fs: float  # Hz

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.classes)

    @property
    def signal_size(self) -> int:
        """T * L, the entries of a window."""
        return self.window * self.leads

    @property
    def size(self) -> int:
        """D = T * L + F, the entries of a sample as a vector."""
        return self.signal_size + self.features


class ClientSamples(NamedTuple):
    """The real samples of one client. Rows from ``size`` on are padding and must not influence any result."""

    x: jax.Array  # float32[N, T, L]
    features: jax.Array  # float32[N, F]
    y: jax.Array  # int32[N]
    size: jax.Array  # int32[]

    @property
    def mask(self) -> jax.Array:
        """bool[N]: true for samples, false for padding."""
        return jnp.arange(len(self.y)) < self.size


class SyntheticSamples(NamedTuple):
    """n synthetic samples of one class."""

    x: jax.Array  # float32[n, T, L]
    features: jax.Array  # float32[n, F]


class InitFn(Protocol):
    """Makes the state before the first stage."""

    def __call__(self, key: jax.Array, /) -> State:
        """Initialise the state.

        Args:
            key: random key of the initial values.

        Returns:
            A pytree of float32 arrays, so that the states of clients can be averaged.
        """
        ...


class ClientUpdateFn(Protocol):
    """The work of one client in one round of a stage."""

    def __call__(self, state: State, samples: ClientSamples, key: jax.Array, /) -> tuple[State, jax.Array]:
        """Update the state with the samples of one client.

        Args:
            state: state before the round. Arrays that are averaged over clients keep their shape.
            samples: samples of the client.
            key: random key of this client and round.

        Returns:
            The client's new state, and its mean loss float32[] (0 where the stage has none).
        """
        ...


class FinalizeFn(Protocol):
    """Turns the state after the last stage into a fitted generator."""

    def __call__(self, state: State, /) -> Fitted:
        """Compute the arrays that drawing needs. Their digest identifies the generator on the ledger."""
        ...


class SampleFn(Protocol):
    """Draws samples from a fitted generator."""

    def __call__(self, fitted: Fitted, key: jax.Array, label: jax.Array, n: int, /) -> SyntheticSamples:
        """Draw samples of one class.

        Args:
            fitted: the fitted generator.
            key: random key of the draw.
            label: int32[], index of the class.
            n: number of samples; static under `jax.jit`.
        """
        ...


class Stage(NamedTuple):
    """One part of a generator's training.

    Attributes:
        name: name of the stage in error messages.
        rounds: number of rounds; after each, the states of clients are combined.
        client_update: the work of one client in one round.
    """

    name: str
    rounds: int
    client_update: ClientUpdateFn


class Generator(NamedTuple):
    """A generator before it has seen any data.

    Attributes:
        name: name in the configuration.
        min_samples: number of training samples of the source class that a client needs to draw from it.
        init: makes the state before the first stage.
        stages: parts of the training, in order.
        finalize: turns the last state into the arrays that drawing needs.
        sample: draws samples of one class.
        source_class: index of the class that all classes are made from, or None if each is made from its own samples.
    """

    name: str
    min_samples: int
    init: InitFn
    stages: tuple[Stage, ...]
    finalize: FinalizeFn
    sample: SampleFn
    source_class: int | None = None

    def source_of(self, label: int) -> int:
        """The class whose training samples decide whether ``label`` can be drawn."""
        return label if self.source_class is None else self.source_class


def flatten(x: jax.Array, features: jax.Array) -> jax.Array:
    """Join windows ``x[N, T, L]`` and ``features[N, F]`` to vectors ``[N, T*L + F]``."""
    return jnp.concatenate([x.reshape(len(x), -1), features], axis=1)


def unflatten(vectors: jax.Array, shape: SampleShape) -> SyntheticSamples:
    """Split vectors ``[n, T*L + F]`` into windows and features: the inverse of `flatten`."""
    cut = shape.signal_size
    return SyntheticSamples(vectors[:, :cut].reshape(-1, shape.window, shape.leads), vectors[:, cut:])


def fitted_digest(fitted: Fitted) -> bytes:
    """32 bytes that identify a fitted generator: the digest of its arrays, computed as for a model."""
    return digest(*canonical_bytes(fitted))
