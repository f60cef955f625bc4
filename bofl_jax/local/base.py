"""What ONE client does in a round: a local algorithm is three pure functions, and nothing in it sees a client axis."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from bofl_jax.core.errors import BoflError

Params = Any
State = Any


class Batch(NamedTuple):
    """B labelled windows."""

    x: jax.Array  # float32[B, T, L]
    features: jax.Array  # float32[B, F]
    y: jax.Array  # int32[B]


Loss = Callable[[Params, Batch], jax.Array]


class LocalAlgorithm(NamedTuple):
    """One client's local work.

    Attributes:
        init: parameters -> state at the start of a round.
        step: state, anchor (the server's parameters), batch, learning rate -> (state, loss before the step).
        params: state -> parameters.
    """

    init: Callable[[Params], State]
    step: Callable[[State, Params, Batch, jax.Array], tuple[State, jax.Array]]
    params: Callable[[State], Params]


class SgdState(NamedTuple):
    """Parameters and the optimiser's moments."""

    params: Params
    moments: optax.OptState


Gradient = Callable[[Params, Params, Batch], tuple[jax.Array, Params]]


def descend(gradient: Gradient, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """The local algorithm that follows ``gradient(params, anchor, batch) -> (loss, gradient)`` with an optimiser.

    ``optimizer`` is built for a learning rate of 1; the round's rate scales its updates.
    """

    def init(params: Params) -> SgdState:
        return SgdState(params, optimizer.init(params))

    def step(state: SgdState, anchor: Params, batch: Batch, lr: jax.Array) -> tuple[SgdState, jax.Array]:
        loss, direction = gradient(state.params, anchor, batch)
        updates, moments = optimizer.update(direction, state.moments, state.params)
        params = jax.tree.map(lambda p, u: p + lr * u, state.params, updates)
        return SgdState(params, moments), loss

    return LocalAlgorithm(init, step, lambda state: state.params)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Split a batch in two of B // 2 (an odd last sample is left out).

    Raises:
        BoflError: if the batch holds fewer than two samples.
    """
    half = len(batch.y) // 2
    if not half:
        raise BoflError("this algorithm splits each batch in two: set federation.batch_size to 2 or more")
    return Batch(*(a[:half] for a in batch)), Batch(*(a[half : 2 * half] for a in batch))
