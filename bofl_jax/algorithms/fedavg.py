"""Plain local training: the client's part of FedAvg, and training alone."""

import jax
import optax

from bofl_jax.algorithms.base import (
    Descent,
    LocalAlgorithm,
    LocalData,
    Loss,
    Params,
    SgdState,
    Shared,
    Trained,
    follow,
)


def sgd(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """``w <- w - lr * grad loss(w)``.

    McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017.
    """
    gradient = jax.value_and_grad(loss)
    return follow(optimizer, lambda _: gradient)


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
