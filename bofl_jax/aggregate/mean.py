"""The weighted mean: FedAvg's server, and FedNova's and SCAFFOLD's, which differ in what is averaged."""

from typing import Any

import jax

from bofl_jax.aggregate.base import Aggregator, Mean, Shared, State, stateless

Tree = Any


def _towards(shared: Tree, update: Tree, rate: float | jax.Array) -> Tree:
    return jax.tree.map(lambda w, u: w + rate * u, shared, update)


def mean(server_lr: float = 1.0) -> Aggregator:
    """``w <- w + server_lr * sum_k n_k (w_k - w) / sum_k n_k``.

    McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017.
    """

    def step(state: State, shared: Shared, received: Mean) -> tuple[State, Shared]:
        return state, _towards(shared, received.update, server_lr)

    return Aggregator(stateless, step)


def nova(server_lr: float = 1.0) -> Aggregator:
    """``w <- w + server_lr * tau * mean direction``, with tau the weighted mean of the clients' numbers of steps.

    Wang et al., Tackling the objective inconsistency problem in heterogeneous federated optimization, NeurIPS 2020.
    """

    def step(state: State, shared: Shared, received: Mean) -> tuple[State, Shared]:
        return state, _towards(shared, received.update["direction"], server_lr * received.update["steps"])

    return Aggregator(stateless, step)


def scaffold(server_lr: float = 1.0) -> Aggregator:
    """``w <- w + server_lr * mean update``; ``c <- c + share * mean change of the clients' variates``.

    ``share`` is the part of all clients' weight that took part, |S|/N of the paper where all weigh the same: so that c
    stays the weighted mean of all clients' variates.

    Karimireddy et al., SCAFFOLD: stochastic controlled averaging for federated learning, ICML 2020.
    """

    def step(state: State, shared: Shared, received: Mean) -> tuple[State, Shared]:
        params = _towards(shared["params"], received.update["params"], server_lr)
        variate = _towards(shared["variate"], received.update["variate"], received.share)
        return state, {"params": params, "variate": variate}

    return Aggregator(stateless, step)
