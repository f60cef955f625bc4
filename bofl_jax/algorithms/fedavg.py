"""Plain local training: the client's part of FedAvg, and training alone."""

import jax
import optax

from bofl_jax.algorithms.base import (
    LocalAlgorithm,
    LocalData,
    Loss,
    OptimizerLoop,
    OptimizerState,
    Params,
    Shared,
    Trained,
    from_gradient,
)


def fedavg(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """``w <- w - lr * grad loss(w)``.

    McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017.
    """
    gradient = jax.value_and_grad(loss)
    return from_gradient(optimizer, lambda _: gradient)


def local_only(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """Every client for itself, with its optimiser's moments: nothing is sent, nothing comes back."""
    descend, gradient = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def init(first: Params, shared: Shared) -> OptimizerState:
        del shared
        return descend.init(first)

    def train(shared: Shared, kept: OptimizerState, data: LocalData) -> Trained:
        del shared
        state, info = descend.run(gradient, kept, data)
        return (), state, info

    return LocalAlgorithm(
        init, train, personal_model=lambda _, kept: kept.params, initial_shared=lambda _: (), model=None
    )
