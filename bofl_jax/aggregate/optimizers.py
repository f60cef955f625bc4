"""Server optimisers: how the server applies the reduced update of a round.

The adaptive ones take the update for a gradient (Reddi et al., Adaptive federated optimization, ICLR 2021, algorithm
2): first moment ``m <- b1 m + (1 - b1) u``, then ``w <- w + lr m / (sqrt(v) + tau)`` with v

    FedAdagrad  v + u^2
    FedAdam     b2 v + (1 - b2) u^2
    FedYogi     v - (1 - b2) u^2 sign(v - u^2)

from ``v = tau^2``, and, unlike Adam's, without correction of the moments' bias.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.aggregate.base import ReducedUpdate, ServerOptimizer, Shared, State, stateless

Tree = Any
Rate = float | jax.Array
SecondMoment = Callable[[jax.Array, jax.Array], jax.Array]
"""v, u -> the next v."""


class Moments(NamedTuple):
    """State of an adaptive server optimiser."""

    first: Tree  # float32, shaped as what is shared
    second: Tree


def sgd(server_lr: Rate = 1.0) -> ServerOptimizer:
    """``w <- w + server_lr * u``: with the weighted mean and a rate of 1 it is FedAvg.

    McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017.
    """

    def step(state: State, shared: Shared, received: ReducedUpdate) -> tuple[State, Shared]:
        return state, add_scaled(shared, received.update, server_lr)

    return ServerOptimizer(stateless, step)


def momentum(server_lr: Rate = 1.0, beta: Rate = 0.9) -> ServerOptimizer:
    """FedAvgM: ``m <- beta m + u``, ``w <- w + server_lr m``.

    Args:
        server_lr: rate of the server.
        beta: decay of the momentum.

    Hsu, Qi and Brown, Measuring the effects of non-identical data distribution for federated visual classification,
    arXiv 1909.06335, 2019.
    """

    def step(velocity: Tree, shared: Shared, received: ReducedUpdate) -> tuple[Tree, Shared]:
        velocity = jax.tree.map(lambda m, u: beta * m + u, velocity, received.update)
        return velocity, jax.tree.map(lambda w, m: w + server_lr * m, shared, velocity)

    return ServerOptimizer(lambda shared: jax.tree.map(jnp.zeros_like, shared), step)


def adagrad(server_lr: Rate, beta1: Rate = 0.0, tau: Rate = 1e-3) -> ServerOptimizer:
    """FedAdagrad; the paper runs it with ``beta1 = 0``.

    Args:
        server_lr: rate of the server.
        beta1: decay of the first moment.
        tau: floor of the second moment's root.
    """
    return _adaptive(server_lr, beta1, tau, lambda v, u: v + u**2)


def adam(server_lr: Rate, beta1: Rate = 0.9, beta2: Rate = 0.99, tau: Rate = 1e-3) -> ServerOptimizer:
    """FedAdam.

    Args:
        server_lr: rate of the server.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        tau: floor of the second moment's root.
    """
    return _adaptive(server_lr, beta1, tau, lambda v, u: beta2 * v + (1 - beta2) * u**2)


def yogi(server_lr: Rate, beta1: Rate = 0.9, beta2: Rate = 0.99, tau: Rate = 1e-3) -> ServerOptimizer:
    """FedYogi.

    Args:
        server_lr: rate of the server.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        tau: floor of the second moment's root.
    """
    return _adaptive(server_lr, beta1, tau, lambda v, u: v - (1 - beta2) * u**2 * jnp.sign(v - u**2))


def _adaptive(server_lr: Rate, beta1: Rate, tau: Rate, second_moment: SecondMoment) -> ServerOptimizer:
    def init(shared: Shared) -> Moments:
        return Moments(jax.tree.map(jnp.zeros_like, shared), jax.tree.map(lambda w: jnp.full_like(w, tau**2), shared))

    def step(state: Moments, shared: Shared, received: ReducedUpdate) -> tuple[Moments, Shared]:
        first = jax.tree.map(lambda m, u: beta1 * m + (1 - beta1) * u, state.first, received.update)
        second = jax.tree.map(second_moment, state.second, received.update)
        moved = jax.tree.map(lambda w, m, v: w + server_lr * m / (jnp.sqrt(v) + tau), shared, first, second)
        return Moments(first, second), moved

    return ServerOptimizer(init, step)


def replace() -> ServerOptimizer:
    """``w <- u``: the reduction itself returns what the server shares from now on."""

    def step(state: State, shared: Shared, received: ReducedUpdate) -> tuple[State, Shared]:
        del shared
        return state, received.update

    return ServerOptimizer(stateless, step)


def add_scaled(shared: Tree, update: Tree, rate: Rate) -> Tree:
    """``shared + rate * update``, leaf by leaf.

    Args:
        shared: a pytree.
        update: a pytree of the same structure.
        rate: factor of the update.
    """
    return jax.tree.map(lambda w, u: w + rate * u, shared, update)
