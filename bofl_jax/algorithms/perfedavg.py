"""Per-FedAvg: every client descends on the loss that remains after one adaptation step.

Fallah, Mokhtari and Ozdaglar, Personalized federated learning with theoretical guarantees: a model-agnostic
meta-learning approach, NeurIPS 2020. With f the client's loss and alpha the inner rate, minimise

    F(w) = f(w - alpha grad f(w)),   grad F(w) = (I - alpha H(w)) grad f(w - alpha grad f(w)).

The inner gradient comes from the first half of the batch and the outer one from the second half; H is taken on the
first half, so that ``exact`` and ``hvp`` are the same number by two routes.
"""

from typing import Literal

import jax
import optax

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, Loss, Params, from_gradient, split_support_query

MetaGradient = Literal["exact", "hvp", "first_order"]


def perfedavg(
    loss: Loss, optimizer: optax.GradientTransformation, inner_lr: float, meta_gradient: MetaGradient
) -> LocalAlgorithm:
    """The meta-gradient step.

    Args:
        loss: loss of one batch.
        optimizer: for a learning rate of 1.
        inner_lr: alpha, the rate of the adaptation step.
        meta_gradient: ``exact`` differentiates through the inner step with ``jax.grad``; ``hvp`` takes
            ``g - alpha H g`` with one Hessian-vector product; ``first_order`` drops the Hessian.
    """

    def adapt(params: Params, inner: Batch) -> Params:
        return jax.tree.map(lambda w, g: w - inner_lr * g, params, jax.grad(loss)(params, inner))

    def exact(params: Params, inner: Batch, outer: Batch) -> tuple[jax.Array, Params]:
        return jax.value_and_grad(lambda w: loss(adapt(w, inner), outer))(params)

    def first_order(params: Params, inner: Batch, outer: Batch) -> tuple[jax.Array, Params]:
        return jax.value_and_grad(loss)(adapt(params, inner), outer)

    def hvp(params: Params, inner: Batch, outer: Batch) -> tuple[jax.Array, Params]:
        value, slope = first_order(params, inner, outer)
        # Backwards twice: the derivative of <grad f(w), v>. Forwards would not pass the layers' own gradients.
        curved = jax.grad(lambda w: optax.tree.vdot(jax.grad(loss)(w, inner), slope))(params)
        return value, jax.tree.map(lambda g, h: g - inner_lr * h, slope, curved)

    route = {"exact": exact, "hvp": hvp, "first_order": first_order}[meta_gradient]

    def gradient(params: Params, batch: Batch) -> tuple[jax.Array, Params]:
        return route(params, *split_support_query(batch))

    return from_gradient(optimizer, lambda _: gradient)._replace(classifies=False)
