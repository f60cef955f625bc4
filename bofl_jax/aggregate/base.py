"""The server's part of a federated algorithm: a reduction over the clients' updates, then a server optimiser.

The two are apart, so that any reduction (a mean, a robust rule) goes with any optimiser (FedAvg's plain step, Adam).
"""

from typing import Any, NamedTuple, Protocol

import jax

Tree = Any
Shared = Any
State = Any


class StackedUpdates(NamedTuple):
    """The M updates of a round, side by side."""

    update: Tree  # [M, ...]
    weight: jax.Array  # float32[M], training samples; 0 for an update that was rejected
    client: jax.Array  # int32[M]


class ReducedUpdate(NamedTuple):
    """The one update that stands for all updates of a round."""

    update: Tree  # 0 where no update was accepted
    share: jax.Array  # float32, weight of the accepted updates by the weight of all clients, 0 to 1


class ReductionInfo(NamedTuple):
    """What explains a reduction: what it made of each update."""

    weight: jax.Array  # float32[M], weight that each update had in the result
    score: jax.Array  # float32[M], how much each update stands out, in the rule's own unit; 0 where the rule has none


class StateInit(Protocol):
    """Call signature of ``init``."""

    def __call__(self, shared: Shared, /) -> State:
        """Build the state before the first round from what the server shares at first."""
        ...


class Reduce(Protocol):
    """Call signature of ``Reduction.reduce``."""

    def __call__(self, state: State, shared: Shared, received: StackedUpdates, /) -> tuple[State, Tree, ReductionInfo]:
        """Reduce the updates of a round to one.

        Args:
            state: of the reduction.
            shared: what the server shared before the round.
            received: the updates; those of weight 0 must not influence the result.

        Returns:
            The next state, the one update, and what explains it.
        """
        ...


class ServerStep(Protocol):
    """Call signature of ``ServerOptimizer.step``."""

    def __call__(self, state: State, shared: Shared, received: ReducedUpdate, /) -> tuple[State, Shared]:
        """Apply the reduced update.

        Args:
            state: of the optimiser.
            shared: what the server shared before the round.
            received: the reduced update.

        Returns:
            The next state, and what the server shares from now on.
        """
        ...


def stateless(shared: Shared) -> State:
    """The ``init`` of a reduction or an optimiser without state."""
    del shared
    return ()


class Reduction(NamedTuple):
    """How the updates of a round become one.

    Attributes:
        reduce: the rule over all updates side by side; None for the weighted mean. The engine computes the mean as a
            running sum and never holds all updates at once.
        init: builds the state of the rule.
    """

    reduce: Reduce | None = None
    init: StateInit = stateless


MEAN = Reduction()
"""The mean of the accepted updates, weighted by the clients' training samples."""


class ServerOptimizer(NamedTuple):
    """How the server applies the reduced update: a pair of pure functions, as in optax.

    Attributes:
        init: builds the state.
        step: applies one reduced update.
    """

    init: StateInit
    step: ServerStep


class AggregatorState(NamedTuple):
    """What the server remembers from round to round."""

    reduction: State
    optimizer: State


class Aggregator(NamedTuple):
    """The server's part of a federated algorithm.

    Attributes:
        optimizer: how the reduced update is applied.
        reduction: how the updates become one.
    """

    optimizer: ServerOptimizer
    reduction: Reduction = MEAN

    @property
    def stacks_updates(self) -> bool:
        """Whether the reduction needs all updates side by side."""
        return self.reduction.reduce is not None

    def init(self, shared: Shared) -> AggregatorState:
        """Build the state before the first round."""
        return AggregatorState(self.reduction.init(shared), self.optimizer.init(shared))
