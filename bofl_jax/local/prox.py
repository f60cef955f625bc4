"""The client's part of FedProx."""

import jax
import optax

from bofl_jax.local.base import Batch, LocalAlgorithm, Loss, Params, descend


def prox(loss: Loss, optimizer: optax.GradientTransformation, mu: float) -> LocalAlgorithm:
    """Minimise ``loss(w) + mu/2 * |w - anchor|^2``.

    Li et al., Federated optimization in heterogeneous networks, MLSys 2020.
    """

    def gradient(params: Params, anchor: Params, batch: Batch) -> tuple[jax.Array, Params]:
        value, slope = jax.value_and_grad(loss)(params, batch)
        return value, jax.tree.map(lambda g, w, a: g + mu * (w - a), slope, params, anchor)

    return descend(gradient, optimizer)
