"""FedProx: local training that is pulled towards the global model."""

from typing import Literal

import jax
import optax
from pydantic import Field

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, Loss, Params, ValueAndGrad
from bofl_jax.algorithms.optimizer_loop import from_gradient
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class FedProxOptions(FederatedOptions):
    """FedProx."""

    traced_fields = ("mu",)
    algorithm: Literal["fedprox"]
    mu: float = Field(0.1, ge=0, description="weight of the proximal term")


def proximal_gradient(value_and_grad: ValueAndGrad, prox_weight: float, centre: Params) -> ValueAndGrad:
    """The gradient of ``loss(w) + prox_weight/2 * |w - centre|^2``; the loss is reported without the second term.

    Args:
        value_and_grad: of the loss.
        prox_weight: weight of the proximal term.
        centre: parameters towards which w is pulled.
    """

    def proximal(params: Params, batch: Batch) -> tuple[jax.Array, Params]:
        value, gradient = value_and_grad(params, batch)
        return value, jax.tree.map(lambda g, w, c: g + prox_weight * (w - c), gradient, params, centre)

    return proximal


def fedprox(loss: Loss, optimizer: optax.GradientTransformation, mu: float) -> LocalAlgorithm:
    """Minimise ``loss(w) + mu/2 * |w - shared|^2``.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.
        mu: weight of the proximal term.

    Li et al., Federated optimization in heterogeneous networks, MLSys 2020.
    """
    value_and_grad = jax.value_and_grad(loss)
    return from_gradient(optimizer, lambda shared: proximal_gradient(value_and_grad, mu, shared))


ALGORITHMS.register(
    Algorithm(FedProxOptions, lambda options, context: fedprox(context.loss, context.optimizer, options.mu))
)
