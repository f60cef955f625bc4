"""The client's part of Ditto."""

import jax
import optax

from bofl_jax.algorithms.base import (
    LocalAlgorithm,
    LocalData,
    Loss,
    OptimizerLoop,
    Params,
    Shared,
    Trained,
    model_delta,
)
from bofl_jax.algorithms.fedprox import proximal_gradient


def ditto(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    strength: float,
    personal_lr: float | None = None,
    personal_steps: int | None = None,
) -> LocalAlgorithm:
    """FedAvg, and beside it a model of each client's own that is held near the shared one.

    The own model v descends on ``loss(v) + strength/2 * |v - shared|^2``, from batches of its own.

    Args:
        loss: loss of one batch.
        optimizer: for a learning rate of 1.
        strength: lambda.
        personal_lr: rate of v; the round's when left out.
        personal_steps: steps of v in a round; as many as of the shared model when left out.

    Li, Hu, Beirami and Smith, Ditto: fair and robust federated learning through personalization, ICML 2021.
    """
    descend, gradient = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def init(first: Params, shared: Shared) -> Params:
        del first
        return shared

    def train(shared: Shared, own: Params, data: LocalData) -> Trained:
        params, info = descend(gradient, shared, data)
        own, more = descend(
            proximal_gradient(gradient, strength, shared), own, data, part=1, steps=personal_steps, lr=personal_lr
        )
        return model_delta(params, shared), own, info._replace(examples=info.examples + more.examples)

    return LocalAlgorithm(init, train, personal_model=lambda _, own: own)
