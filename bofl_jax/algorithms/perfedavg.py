"""Per-FedAvg: every client minimises the loss that remains after one adaptation step.

Fallah, Mokhtari and Ozdaglar, Personalized federated learning with theoretical guarantees: a model-agnostic
meta-learning approach, NeurIPS 2020. With f the client's loss and alpha the inner rate, minimise

    F(w) = f(w - alpha grad f(w)),   grad F(w) = (I - alpha H(w)) grad f(w - alpha grad f(w)).

The inner gradient comes from the first half of the batch (the support set) and the outer one from the second half (the
query set). H is taken on the first half, so that ``exact`` and ``hvp`` are the same number, computed in two ways.
"""

from typing import Any, Literal

import jax
import optax
from pydantic import Field

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, Loss, Params, split_support_query
from bofl_jax.algorithms.optimizer_loop import from_gradient
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm

MetaGradient = Literal["exact", "hvp", "first_order"]


class PerFedAvgOptions(FederatedOptions):
    """Per-FedAvg."""

    traced_fields = ("inner_lr",)
    algorithm: Literal["perfedavg"]
    inner_lr: float = Field(0.05, gt=0, description="alpha, learning rate of the adaptation step")
    meta_gradient: MetaGradient = Field("exact", description="how the meta-gradient is computed")
    batch_size: int = Field(32, ge=2, description="B, split in two halves")

    def check_sections(self, config: Any) -> None:
        """Require personalisation: the global model is a starting point, not a classifier."""
        super().check_sections(config)
        if config.personalise.method == "none":
            raise ValueError(
                "federation.algorithm = 'perfedavg' trains a starting point that is no classifier by itself: "
                "set personalise.method = 'finetune'"
            )


def perfedavg(
    loss: Loss, optimizer: optax.GradientTransformation, inner_lr: float, meta_gradient: MetaGradient
) -> LocalAlgorithm:
    """Follow the meta-gradient.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.
        inner_lr: alpha, the learning rate of the adaptation step.
        meta_gradient: ``exact`` differentiates through the inner step with ``jax.grad``; ``hvp`` takes
            ``g - alpha H g`` with one Hessian-vector product; ``first_order`` drops the Hessian.
    """

    def adapt(params: Params, support: Batch) -> Params:
        return jax.tree.map(lambda w, g: w - inner_lr * g, params, jax.grad(loss)(params, support))

    def exact(params: Params, support: Batch, query: Batch) -> tuple[jax.Array, Params]:
        return jax.value_and_grad(lambda w: loss(adapt(w, support), query))(params)

    def first_order(params: Params, support: Batch, query: Batch) -> tuple[jax.Array, Params]:
        return jax.value_and_grad(loss)(adapt(params, support), query)

    def hvp(params: Params, support: Batch, query: Batch) -> tuple[jax.Array, Params]:
        value, gradient = first_order(params, support, query)
        # Reverse mode twice: the derivative of <grad f(w), v>. The layers' custom gradients have no forward mode.
        curvature = jax.grad(lambda w: optax.tree.vdot(jax.grad(loss)(w, support), gradient))(params)
        return value, jax.tree.map(lambda g, h: g - inner_lr * h, gradient, curvature)

    meta_gradient_of = {"exact": exact, "hvp": hvp, "first_order": first_order}[meta_gradient]

    def value_and_grad(params: Params, batch: Batch) -> tuple[jax.Array, Params]:
        return meta_gradient_of(params, *split_support_query(batch))

    return from_gradient(optimizer, lambda _: value_and_grad)._replace(classifies=False)


ALGORITHMS.register(
    Algorithm(
        PerFedAvgOptions,
        lambda options, context: perfedavg(context.loss, context.optimizer, options.inner_lr, options.meta_gradient),
    )
)
