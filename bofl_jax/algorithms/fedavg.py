"""FedAvg: plain local training, and the mean of the updates."""

from typing import Literal

import jax
import optax

from bofl_jax.algorithms.base import LocalAlgorithm, Loss
from bofl_jax.algorithms.optimizer_loop import from_gradient
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class FedAvgOptions(FederatedOptions):
    """FedAvg."""

    algorithm: Literal["fedavg"] = "fedavg"


def fedavg(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """``w <- w - lr * grad loss(w)``.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.

    McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017.
    """
    value_and_grad = jax.value_and_grad(loss)
    return from_gradient(optimizer, lambda _: value_and_grad)


ALGORITHMS.register(Algorithm(FedAvgOptions, lambda _, context: fedavg(context.loss, context.optimizer)))
