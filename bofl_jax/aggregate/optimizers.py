"""Servers that take the mean update for a gradient and follow it with an optimiser of their own.

Reddi et al., Adaptive federated optimization, ICLR 2021, algorithm 2: first moment
``m <- b1 m + (1 - b1) u``, then ``w <- w + lr m / (sqrt(v) + tau)`` with v

    FedAdagrad  v + u^2
    FedAdam     b2 v + (1 - b2) u^2
    FedYogi     v - (1 - b2) u^2 sign(v - u^2)

from ``v = tau^2``, and, unlike Adam's, no correction of the moments' bias. FedAvgM: Hsu, Qi and Brown, Measuring the
effects of non-identical data distribution for federated visual classification, arXiv 1909.06335, 2019.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.aggregate.base import Aggregator, Mean, Shared

Tree = Any
Second = Callable[[jax.Array, jax.Array], jax.Array]
"""v, u -> the next v."""


class Moments(NamedTuple):
    """The server's state."""

    first: Tree  # float32, shaped as what is shared
    second: Tree


def momentum(server_lr: float = 1.0, beta: float = 0.9) -> Aggregator:
    """FedAvgM: ``m <- beta m + u``, ``w <- w + server_lr m``."""

    def step(velocity: Tree, shared: Shared, received: Mean) -> tuple[Tree, Shared]:
        velocity = jax.tree.map(lambda m, u: beta * m + u, velocity, received.update)
        return velocity, jax.tree.map(lambda w, m: w + server_lr * m, shared, velocity)

    return Aggregator(lambda shared: jax.tree.map(jnp.zeros_like, shared), step)


def adagrad(server_lr: float, beta1: float = 0.0, tau: float = 1e-3) -> Aggregator:
    """FedAdagrad; the paper runs it with ``beta1 = 0``."""
    return _adaptive(server_lr, beta1, tau, lambda v, u: v + u**2)


def adam(server_lr: float, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3) -> Aggregator:
    """FedAdam."""
    return _adaptive(server_lr, beta1, tau, lambda v, u: beta2 * v + (1 - beta2) * u**2)


def yogi(server_lr: float, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3) -> Aggregator:
    """FedYogi."""
    return _adaptive(server_lr, beta1, tau, lambda v, u: v - (1 - beta2) * u**2 * jnp.sign(v - u**2))


def _adaptive(server_lr: float, beta1: float, tau: float, second: Second) -> Aggregator:
    def init(shared: Shared) -> Moments:
        return Moments(jax.tree.map(jnp.zeros_like, shared), jax.tree.map(lambda w: jnp.full_like(w, tau**2), shared))

    def step(state: Moments, shared: Shared, received: Mean) -> tuple[Moments, Shared]:
        first = jax.tree.map(lambda m, u: beta1 * m + (1 - beta1) * u, state.first, received.update)
        after = jax.tree.map(second, state.second, received.update)
        moved = jax.tree.map(lambda w, m, v: w + server_lr * m / (jnp.sqrt(v) + tau), shared, first, after)
        return Moments(first, after), moved

    return Aggregator(init, step)
