"""pFedMe: personal models through the Moreau envelope of each client's loss."""

from typing import Literal

import jax
import jax.numpy as jnp
from pydantic import Field

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, LocalData, Loss, Params, Shared, Trained
from bofl_jax.algorithms.optimizer_loop import model_delta
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class PFedMeOptions(FederatedOptions):
    """pFedMe; the paper's beta is ``optimizer.server_lr``."""

    plain_steps = True
    traced_fields = ("strength", "personal_lr", "decay")
    algorithm: Literal["pfedme"]
    strength: float = Field(15.0, gt=0, description="lambda, weight that holds the personal model near the local one")
    personal_lr: float = Field(0.05, gt=0, description="learning rate of the personal model")
    inner_steps: int = Field(5, ge=1, description="K, steps of the personal model on a batch")
    decay: float = Field(0.0, ge=0, description="weight decay of the personal model")


def pfedme(
    loss: Loss, prox_weight: float, personal_lr: float, inner_steps: int, weight_decay: float = 0.0
) -> LocalAlgorithm:
    """Minimise the Moreau envelope of the client's loss.

    For every batch, ``inner_steps`` steps move the personal model to
    ``theta ~ argmin loss(theta) + prox_weight/2 * |theta - w|^2``, then ``w <- w - lr prox_weight (w - theta)``. Theta
    starts each round at the shared parameters. The server's learning rate is the paper's beta.

    Args:
        loss: loss of one batch.
        prox_weight: lambda.
        personal_lr: learning rate of theta.
        inner_steps: K.
        weight_decay: weight decay of theta, as in the authors' code.

    Dinh, Tran and Nguyen, Personalized federated learning with Moreau envelopes, NeurIPS 2020.
    """
    value_and_grad = jax.value_and_grad(loss)

    def init(initial_params: Params, shared: Shared) -> Params:
        del initial_params
        return shared

    def train(shared: Shared, before: Params, data: LocalData) -> Trained:
        def step(state: tuple[Params, Params], batch: Batch) -> tuple[tuple[Params, Params], jax.Array]:
            local, personal = state

            def inner(_: jax.Array, carry: tuple[Params, jax.Array]) -> tuple[Params, jax.Array]:
                theta, _ = carry
                value, gradient = value_and_grad(theta, batch)
                theta = jax.tree.map(
                    lambda t, g, w: t - personal_lr * (g + prox_weight * (t - w) + weight_decay * t),
                    theta,
                    gradient,
                    local,
                )
                return theta, value

            personal, value = jax.lax.fori_loop(0, inner_steps, inner, (personal, jnp.float32(0)))
            local = jax.tree.map(lambda w, t: w - data.lr * prox_weight * (w - t), local, personal)
            return (local, personal), value

        (local, personal), info = data.run(step, (shared, shared))
        personal = jax.tree.map(lambda new, old: jnp.where(data.steps > 0, new, old), personal, before)
        return model_delta(local, shared), personal, info._replace(examples=info.examples * inner_steps)

    return LocalAlgorithm(init, train, personal_model=lambda _, personal: personal)


ALGORITHMS.register(
    Algorithm(
        PFedMeOptions,
        lambda options, context: pfedme(
            context.loss, options.strength, options.personal_lr, options.inner_steps, options.decay
        ),
    )
)
