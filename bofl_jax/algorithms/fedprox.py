"""The client's part of FedProx."""

import jax
import optax

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, Loss, Params, ValueAndGrad, from_gradient


def proximal_gradient(gradient: ValueAndGrad, strength: float, centre: Params) -> ValueAndGrad:
    """The gradient of ``loss(w) + strength/2 * |w - centre|^2``; the loss is reported without the pull."""

    def with_pull(params: Params, batch: Batch) -> tuple[jax.Array, Params]:
        value, slope = gradient(params, batch)
        return value, jax.tree.map(lambda g, w, c: g + strength * (w - c), slope, params, centre)

    return with_pull


def fedprox(loss: Loss, optimizer: optax.GradientTransformation, mu: float) -> LocalAlgorithm:
    """Minimise ``loss(w) + mu/2 * |w - shared|^2``.

    Li et al., Federated optimization in heterogeneous networks, MLSys 2020.
    """
    gradient = jax.value_and_grad(loss)
    return from_gradient(optimizer, lambda shared: proximal_gradient(gradient, mu, shared))
