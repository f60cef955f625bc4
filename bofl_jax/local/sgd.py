"""Plain local training: the client's part of FedAvg, and training alone."""

import jax
import optax

from bofl_jax.local.base import (
    Descent,
    Kept,
    LocalAlgorithm,
    LocalData,
    Loss,
    Params,
    SgdState,
    Shared,
    Trained,
    difference,
    keep_nothing,
)


def sgd(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """``w <- w - lr * grad loss(w)``.

    McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017.
    """
    descend, gradient = Descent(optimizer), jax.value_and_grad(loss)

    def train(shared: Shared, kept: Kept, data: LocalData) -> Trained:
        params, info = descend(gradient, shared, data)
        return difference(params, shared), kept, info

    return LocalAlgorithm(keep_nothing, train)


def alone(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """Every client for itself, with its optimiser's moments: nothing is sent, nothing comes back."""
    descend, gradient = Descent(optimizer), jax.value_and_grad(loss)

    def init(first: Params, shared: Shared) -> SgdState:
        del shared
        return descend.begin(first)

    def train(shared: Shared, kept: SgdState, data: LocalData) -> Trained:
        del shared
        state, info = descend.run(gradient, kept, data)
        return (), state, info

    return LocalAlgorithm(init, train, own=lambda _, kept: kept.params, share=lambda _: (), model=None)
