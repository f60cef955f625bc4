"""Ditto: a personal model for each client, held near the global one."""

from typing import Literal

import jax
import optax
from pydantic import Field

from bofl_jax.algorithms.base import LocalAlgorithm, LocalData, Loss, Params, Shared, Trained
from bofl_jax.algorithms.fedprox import proximal_gradient
from bofl_jax.algorithms.optimizer_loop import OptimizerLoop, model_delta
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class DittoOptions(FederatedOptions):
    """Ditto."""

    fixed_steps = ("personal_steps",)
    traced_fields = ("strength", "personal_lr")
    algorithm: Literal["ditto"]
    strength: float = Field(0.1, ge=0, description="lambda, weight that holds the personal model near the global one")
    personal_lr: float | None = Field(
        None, gt=0, description="learning rate of the personal model; the round's when left out"
    )
    personal_steps: int | None = Field(
        None, ge=1, description="steps of the personal model in a round; the round's when left out"
    )


def ditto(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    prox_weight: float,
    personal_lr: float | None = None,
    personal_steps: int | None = None,
) -> LocalAlgorithm:
    """FedAvg, and beside it a personal model v that minimises ``loss(v) + prox_weight/2 * |v - shared|^2``.

    The personal model sees batches of its own.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.
        prox_weight: lambda.
        personal_lr: learning rate of v; the round's when left out.
        personal_steps: steps of v in a round; the round's when left out.

    Li, Hu, Beirami and Smith, Ditto: fair and robust federated learning through personalization, ICML 2021.
    """
    loop, value_and_grad = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def init(initial_params: Params, shared: Shared) -> Params:
        del initial_params
        return shared

    def train(shared: Shared, personal: Params, data: LocalData) -> Trained:
        params, info = loop(value_and_grad, shared, data)
        proximal = proximal_gradient(value_and_grad, prox_weight, shared)
        personal, more = loop(proximal, personal, data, part=1, steps=personal_steps, lr=personal_lr)
        return model_delta(params, shared), personal, info._replace(examples=info.examples + more.examples)

    return LocalAlgorithm(init, train, personal_model=lambda _, personal: personal)


ALGORITHMS.register(
    Algorithm(
        DittoOptions,
        lambda options, context: ditto(
            context.loss, context.optimizer, options.strength, options.personal_lr, options.personal_steps
        ),
    )
)
