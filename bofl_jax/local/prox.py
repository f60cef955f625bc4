"""The client's part of FedProx."""

import jax
import optax

from bofl_jax.local.base import (
    Batch,
    Descent,
    Gradient,
    Kept,
    LocalAlgorithm,
    LocalData,
    Loss,
    Params,
    Shared,
    Trained,
    difference,
    keep_nothing,
)


def pulled(gradient: Gradient, strength: float, centre: Params) -> Gradient:
    """The gradient of ``loss(w) + strength/2 * |w - centre|^2``; the loss is reported without the pull."""

    def with_pull(params: Params, batch: Batch) -> tuple[jax.Array, Params]:
        value, slope = gradient(params, batch)
        return value, jax.tree.map(lambda g, w, c: g + strength * (w - c), slope, params, centre)

    return with_pull


def prox(loss: Loss, optimizer: optax.GradientTransformation, mu: float) -> LocalAlgorithm:
    """Minimise ``loss(w) + mu/2 * |w - shared|^2``.

    Li et al., Federated optimization in heterogeneous networks, MLSys 2020.
    """
    descend, gradient = Descent(optimizer), jax.value_and_grad(loss)

    def train(shared: Shared, kept: Kept, data: LocalData) -> Trained:
        params, info = descend(pulled(gradient, mu, shared), shared, data)
        return difference(params, shared), kept, info

    return LocalAlgorithm(keep_nothing, train)
