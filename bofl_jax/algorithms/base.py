"""What ONE client does in a round: a local algorithm is a pair of pure functions, and nothing in it sees a client axis.

``init`` says what a client keeps to itself when it joins, ``train`` what it does with what the server shares: it
returns the update that it sends, and what it keeps for its next round. That is all that a new method needs; the further
fields have defaults that suit a method in which the server shares one whole network.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

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


Loss = Callable[[Params, Batch], jax.Array]
ValueAndGrad = Callable[[Params, Batch], tuple[jax.Array, Params]]
"""parameters, batch -> (loss, direction of ascent)."""


class TrainInfo(NamedTuple):
    """What explains a client's round."""

    loss: jax.Array  # float32, mean over its steps
    examples: jax.Array  # int32, samples seen


Trained = tuple[Update, ClientState, TrainInfo]
"""What comes out of a client's round: what it sends, what it keeps, what explains it."""


class LocalData(NamedTuple):
    """One client's data in a round, as a stream of batches.

    Attributes:
        batch: step, part -> the batch; ``part`` numbers independent streams of one round.
        batch_size: B.
        steps: int32, the local steps that the client has to do (0 for a padded client).
        lr: float32, the learning rate of the round.
    """

    batch: Callable[[jax.Array, int], Batch]
    batch_size: int
    steps: jax.Array
    lr: jax.Array

    def run(
        self,
        step: Callable[[Tree, Batch], tuple[Tree, jax.Array]],
        state: Tree,
        part: int = 0,
        steps: int | jax.Array | None = None,
    ) -> tuple[Tree, TrainInfo]:
        """Do ``step(state, batch) -> (state, loss)`` once for every batch.

        Args:
            step: a local step.
            state: what it begins with.
            part: which stream of batches.
            steps: how many, where not the round's; a client without work does none whatever is said here.
        """
        count = self.steps if steps is None else jnp.where(self.steps > 0, steps, 0).astype(jnp.int32)

        def body(index: jax.Array, carry: tuple) -> tuple:
            state, total = carry
            state, loss = step(state, self.batch(index, part))
            return state, total + loss

        state, total = jax.lax.fori_loop(0, count, body, (state, jnp.float32(0)))
        return state, TrainInfo(total / jnp.maximum(count, 1), count * self.batch_size)


def _identity(params: Params) -> Params:
    return params


def _everything(shared: Shared, client: jax.Array) -> Shared:
    del client
    return shared


class LocalAlgorithm(NamedTuple):
    """One client's part of a federated method.

    Attributes:
        init: the network's first parameters, what the server shares -> what a client keeps when it joins; () for
            nothing.
        train: shared, kept, data -> (update for the server, kept, info). The update is averaged by the aggregator.
        own: shared, kept -> the parameters of the client's own model; None where it has none.
        share: the network's first parameters -> what the server shares at first.
        view: all that is shared, a client's index -> what of it this client is sent, and the other functions see.
        model: shared -> the parameters of one whole network; None where what is shared is none.
        classifies: whether that network is a classifier as it is, without being adapted.
    """

    init: Callable[[Params, Shared], ClientState]
    train: Callable[[Shared, ClientState, LocalData], Trained]
    personal_model: Callable[[Shared, ClientState], Params] | None = None
    initial_shared: Callable[[Params], Shared] = _identity
    download: Callable[[Shared, jax.Array], Shared] = _everything
    model: Callable[[Shared], Params] | None = _identity
    classifies: bool = True

    @property
    def has_global(self) -> bool:
        """Whether what is shared can be tested as it is."""
        return self.model is not None and self.classifies

    def fine_tune_start(self, shared: Shared, kept: ClientState) -> Params:
        """The parameters that a client goes on from when it fine-tunes: its own, else the shared ones."""
        if self.personal_model is not None:
            return self.personal_model(shared, kept)
        return (self.model or _identity)(shared)


def stateless(first: Params, shared: Shared) -> tuple[()]:
    """The ``init`` of a method whose clients remember nothing."""
    del first, shared
    return ()


class OptimizerState(NamedTuple):
    """Parameters and the optimiser's moments."""

    params: Params
    opt_state: optax.OptState


class OptimizerLoop(NamedTuple):
    """Following a gradient with an optimiser that was built for a learning rate of 1."""

    optimizer: optax.GradientTransformation

    def init(self, params: Params) -> OptimizerState:
        """No moments yet."""
        return OptimizerState(params, self.optimizer.init(params))

    def step(self, state: OptimizerState, direction: Params, rate: jax.Array) -> OptimizerState:
        """One step of the optimiser, at ``rate``."""
        updates, moments = self.optimizer.update(direction, state.opt_state, state.params)
        return OptimizerState(jax.tree.map(lambda p, u: p + rate * u, state.params, updates), moments)

    def run(
        self,
        gradient: ValueAndGrad,
        state: OptimizerState,
        data: LocalData,
        *,
        part: int = 0,
        steps: int | jax.Array | None = None,
        lr: float | None = None,
    ) -> tuple[OptimizerState, TrainInfo]:
        """Descend for the round's steps, or for ``steps``, at the round's rate, or at ``lr``."""
        rate = data.lr if lr is None else jnp.float32(lr)

        def step(state: OptimizerState, batch: Batch) -> tuple[OptimizerState, jax.Array]:
            loss, direction = gradient(state.params, batch)
            return self.step(state, direction, rate), loss

        return data.run(step, state, part, steps)

    def __call__(self, gradient: ValueAndGrad, params: Params, data: LocalData, **how: Any) -> tuple[Params, TrainInfo]:
        """The same from and to bare parameters: the moments begin at nothing and are forgotten."""
        state, info = self.run(gradient, self.init(params), data, **how)
        return state.params, info


def from_gradient(
    optimizer: optax.GradientTransformation, gradient: Callable[[Shared], ValueAndGrad]
) -> LocalAlgorithm:
    """The algorithm that follows a gradient from the shared parameters on, sends how far it came, and keeps nothing.

    Args:
        optimizer: for a learning rate of 1.
        gradient: the shared parameters -> what is followed.
    """
    descend = OptimizerLoop(optimizer)

    def train(shared: Shared, kept: ClientState, data: LocalData) -> Trained:
        params, info = descend(gradient(shared), shared, data)
        return model_delta(params, shared), kept, info

    return LocalAlgorithm(stateless, train)


def model_delta(after: Tree, before: Tree) -> Tree:
    """``after - before``, leaf by leaf: the update that a client sends."""
    return jax.tree.map(jnp.subtract, after, before)


def split_support_query(batch: Batch) -> tuple[Batch, Batch]:
    """Split a batch in two of B // 2 (an odd last sample is left out).

    Raises:
        BoflError: if the batch holds fewer than two samples.
    """
    half = len(batch.y) // 2
    if not half:
        raise BoflError("this algorithm splits each batch in two: set federation.batch_size to 2 or more")
    return Batch(*(a[:half] for a in batch)), Batch(*(a[half : 2 * half] for a in batch))
