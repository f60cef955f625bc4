"""FedRep: a shared representation, and a personal head that is trained first."""

from collections.abc import Collection
from typing import Literal

import jax
import optax
from pydantic import Field

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, LocalData, Loss, Trained
from bofl_jax.algorithms.optimizer_loop import OptimizerLoop, model_delta
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.partial import Layers, personal_layers
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class FedRepOptions(FederatedOptions):
    """FedRep."""

    fixed_steps = ("head_steps",)
    algorithm: Literal["fedrep"]
    own_layers: tuple[str, ...] = Field((), description="layers that stay with the client; the last when left out")
    head_steps: int | None = Field(None, ge=1, description="steps of these layers; the round's when left out")


def fedrep(
    loss: Loss, optimizer: optax.GradientTransformation, head: Collection[str], head_steps: int | None = None
) -> LocalAlgorithm:
    """First the personal head alone, for ``head_steps`` batches, then the shared body alone, for the round's steps.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.
        head: names of the layers of the head.
        head_steps: steps of the head; the round's when left out.

    Collins, Hassani, Mokhtari and Shakkottai, Exploiting shared representations for personalized federated learning,
    ICML 2021.
    """
    loop = OptimizerLoop(optimizer)

    def train(shared: Layers, state: Layers, data: LocalData) -> Trained:
        def head_loss(head: Layers, batch: Batch) -> jax.Array:
            return loss(shared | head, batch)

        own, first = loop(jax.value_and_grad(head_loss), state, data, part=1, steps=head_steps)

        def body_loss(body: Layers, batch: Batch) -> jax.Array:
            return loss(body | own, batch)

        body, info = loop(jax.value_and_grad(body_loss), shared, data)
        return model_delta(body, shared), own, info._replace(examples=info.examples + first.examples)

    return personal_layers(train, head)


ALGORITHMS.register(
    Algorithm(
        FedRepOptions,
        lambda options, context: fedrep(
            context.loss,
            context.optimizer,
            frozenset(options.own_layers) or context.model.head_layers,
            options.head_steps,
        ),
    )
)
