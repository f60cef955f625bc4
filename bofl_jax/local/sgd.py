"""Plain local training: the client's part of FedAvg."""

import jax
import optax

from bofl_jax.local.base import Batch, LocalAlgorithm, Loss, Params, descend


def sgd(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """``w <- w - lr * grad loss(w)``.

    McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017.
    """

    def gradient(params: Params, anchor: Params, batch: Batch) -> tuple[jax.Array, Params]:
        del anchor
        return jax.value_and_grad(loss)(params, batch)

    return descend(gradient, optimizer)
