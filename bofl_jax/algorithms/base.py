"""A local algorithm: what ONE client does in a round, as pure functions. Nothing here sees a client axis.

``init`` builds the state that a client keeps when it joins. ``train`` turns what the server shares into an update and
the client's next state. A new algorithm needs no more than these two: the other fields have defaults that suit an
algorithm in which the server shares one whole network.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError

Tree = Any
Params = Any
Shared = Any
ClientState = Any
Update = Any


class Batch(NamedTuple):
    """B labelled windows."""

    x: jax.Array  # float32[B, T, L]
    features: jax.Array  # float32[B, F]
    y: jax.Array  # int32[B]


class Loss(Protocol):
    """Call signature of a loss."""

    def __call__(self, params: Params, batch: Batch, /) -> jax.Array:
        """Return the loss of one batch, float32."""
        ...


class ValueAndGrad(Protocol):
    """Call signature of what an optimiser follows, usually ``jax.value_and_grad(loss)``."""

    def __call__(self, params: Params, batch: Batch, /) -> tuple[jax.Array, Params]:
        """Return the loss of one batch and the direction of steepest ascent."""
        ...


class TrainInfo(NamedTuple):
    """What explains a client's training in a round."""

    loss: jax.Array  # float32, mean over the client's steps
    examples: jax.Array  # int32, samples that the client's batches held


Trained = tuple[Update, ClientState, TrainInfo]
"""Results of a client's round: its update for the server, its next state, and what explains them."""


class BatchOf(Protocol):
    """Call signature of ``LocalData.batch``."""

    def __call__(self, step: jax.Array, part: int, /) -> Batch:
        """Return the batch of one step.

        Args:
            step: int32, index of the local step.
            part: index of an independent stream of batches in the same round.
        """
        ...


class LocalStep(Protocol):
    """Call signature of one local step."""

    def __call__(self, state: Tree, batch: Batch, /) -> tuple[Tree, jax.Array]:
        """Return the next state and the loss of the batch."""
        ...


class LocalData(NamedTuple):
    """One client's data in a round, as streams of batches.

    Attributes:
        batch: returns the batch of a step.
        batch_size: B.
        steps: int32, the local steps of this client; 0 for a padded client.
        lr: float32, the learning rate of the round.
    """

    batch: BatchOf
    batch_size: int
    steps: jax.Array
    lr: jax.Array

    def run(
        self, step: LocalStep, state: Tree, part: int = 0, steps: int | jax.Array | None = None
    ) -> tuple[Tree, TrainInfo]:
        """Apply ``step`` to one batch after another.

        Args:
            step: one local step.
            state: the state before the first step.
            part: index of the stream of batches.
            steps: number of steps, if not the round's. A client without local steps never does any.

        Returns:
            The state after the last step, and what explains it.
        """
        count = self.steps if steps is None else jnp.where(self.steps > 0, steps, 0).astype(jnp.int32)

        def body(index: jax.Array, carry: tuple[Tree, jax.Array]) -> tuple[Tree, jax.Array]:
            state, total = carry
            state, loss = step(state, self.batch(index, part))
            return state, total + loss

        state, total = jax.lax.fori_loop(0, count, body, (state, jnp.float32(0)))
        return state, TrainInfo(total / jnp.maximum(count, 1), count * self.batch_size)


class InitClient(Protocol):
    """Call signature of ``LocalAlgorithm.init``."""

    def __call__(self, initial_params: Params, download: Shared, /) -> ClientState:
        """Build the state of a client that joins.

        Args:
            initial_params: the network's initial parameters, the same for all clients.
            download: what the server sends to this client.
        """
        ...


class TrainClient(Protocol):
    """Call signature of ``LocalAlgorithm.train``."""

    def __call__(self, download: Shared, state: ClientState, data: LocalData, /) -> Trained:
        """Train one client for one round.

        Args:
            download: what the server sends to this client.
            state: the client's state.
            data: the client's batches.

        Returns:
            The update for the server, the client's next state, and what explains them.
        """
        ...


class PersonalModel(Protocol):
    """Call signature of ``LocalAlgorithm.personal_model``."""

    def __call__(self, download: Shared, state: ClientState, /) -> Params:
        """Return the parameters of the client's personal model."""
        ...


class InitShared(Protocol):
    """Call signature of ``LocalAlgorithm.initial_shared``."""

    def __call__(self, initial_params: Params, /) -> Shared:
        """Return what the server shares before the first round."""
        ...


class Download(Protocol):
    """Call signature of ``LocalAlgorithm.download``."""

    def __call__(self, shared: Shared, client: jax.Array, /) -> Shared:
        """Return the part of ``shared`` that the server sends to client int32 ``client``."""
        ...


class GlobalModel(Protocol):
    """Call signature of ``LocalAlgorithm.model``."""

    def __call__(self, shared: Shared, /) -> Params:
        """Return the parameters of the one network that all clients share."""
        ...


def _identity(tree: Tree) -> Tree:
    return tree


def _everything(shared: Shared, client: jax.Array) -> Shared:
    del client
    return shared


class LocalAlgorithm(NamedTuple):
    """One client's part of a federated algorithm.

    Attributes:
        init: builds a client's state; `stateless` for clients that keep nothing.
        train: trains one client for one round. The server reduces the updates of all clients to one.
        personal_model: returns the client's personal model; None for an algorithm without such models.
        initial_shared: returns what the server shares before the first round.
        download: returns what the server sends to one client. ``init``, ``train`` and ``personal_model`` see only this.
        model: returns the global model; None if what is shared is not one whole network.
        classifies: whether the global model is a classifier without further adaptation.
    """

    init: InitClient
    train: TrainClient
    personal_model: PersonalModel | None = None
    initial_shared: InitShared = _identity
    download: Download = _everything
    model: GlobalModel | None = _identity
    classifies: bool = True

    @property
    def has_global(self) -> bool:
        """Whether there is a global model that can be tested as it is."""
        return self.model is not None and self.classifies

    def fine_tune_start(self, download: Shared, state: ClientState) -> Params:
        """The parameters from which a client fine-tunes: its personal model, or else the global one.

        Args:
            download: what the server sends to this client.
            state: the client's state.
        """
        if self.personal_model is not None:
            return self.personal_model(download, state)
        return (self.model or _identity)(download)


def stateless(initial_params: Params, download: Shared) -> tuple[()]:
    """The ``init`` of an algorithm whose clients keep nothing.

    Args:
        initial_params: not used.
        download: not used.
    """
    del initial_params, download
    return ()


def split_support_query(batch: Batch) -> tuple[Batch, Batch]:
    """Split a batch into two of B // 2 samples; an odd last sample is left out.

    Raises:
        BoflError: if the batch holds fewer than two samples.
    """
    half = len(batch.y) // 2
    if not half:
        raise BoflError("this algorithm splits each batch in two: set federation.batch_size to 2 or more")
    return Batch(*(a[:half] for a in batch)), Batch(*(a[half : 2 * half] for a in batch))
