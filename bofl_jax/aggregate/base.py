"""How the server combines updates: an aggregator is a pair of pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Tree = Any
Shared = Any
State = Any


class Mean(NamedTuple):
    """What a linear aggregator gets of a round."""

    update: Tree  # weighted mean of the updates that count; 0 where none does
    share: jax.Array  # float32, their part of the weight of all clients, 0 to 1


class Gathered(NamedTuple):
    """What an aggregator that looks at every update gets of a round."""

    update: Tree  # [M, ...]
    weight: jax.Array  # float32[M], training samples; 0 where an update does not count
    client: jax.Array  # int32[M]


class Aggregator(NamedTuple):
    """The server's part of a federated method.

    Attributes:
        init: what is shared at first -> the server's state.
        step: state, what is shared, the round's `Mean` (or `Gathered`) -> (state, what is shared from now on).
        gathers: whether it needs every update. The engine keeps a running sum otherwise, and never stacks them.
    """

    init: Callable[[Shared], State]
    step: Callable[[State, Shared, Any], tuple[State, Shared]]
    gathers: bool = False


def stateless(_: Shared) -> State:
    """The ``init`` of an aggregator that remembers nothing."""
    return ()
