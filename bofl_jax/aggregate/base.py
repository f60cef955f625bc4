"""How the server combines updates: an aggregator is a pair of pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Params = Any
State = Any


class Aggregator(NamedTuple):
    """A linear aggregator: it needs only the weighted mean of the updates, so that the engine keeps a running sum
    and never stacks the clients' models.

    Attributes:
        init: parameters -> state.
        step: state, parameters, weighted mean update -> (state, new parameters).
    """

    init: Callable[[Params], State]
    step: Callable[[State, Params, Params], tuple[State, Params]]


def mean(server_lr: float = 1.0) -> Aggregator:
    """``w <- w + server_lr * sum_k n_k (w_k - w) / sum_k n_k`` (McMahan et al., AISTATS 2017)."""

    def step(state: State, params: Params, update: Params) -> tuple[State, Params]:
        return state, jax.tree.map(lambda w, u: w + server_lr * u, params, update)

    return Aggregator(lambda _: (), step)
