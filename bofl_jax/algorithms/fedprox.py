"""The client's part of FedProx."""

import jax
import optax

from bofl_jax.algorithms.base import Batch, Gradient, LocalAlgorithm, Loss, Params, follow


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
    gradient = jax.value_and_grad(loss)
    return follow(optimizer, lambda shared: pulled(gradient, mu, shared))
