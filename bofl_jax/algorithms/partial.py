"""Partial personalisation: some layers stay with the client, and only the others are shared."""

from collections.abc import Collection

import jax
import optax

from bofl_jax.algorithms.base import LocalAlgorithm, LocalData, Loss, Params, TrainClient, Trained
from bofl_jax.algorithms.optimizer_loop import OptimizerLoop, model_delta
from bofl_jax.core.errors import BoflError

Layers = dict[str, Params]
"""Parameters of a network, or of some of its layers, by the name of the layer."""


def split_layers(params: Layers, personal: Collection[str]) -> tuple[Layers, Layers]:
    """Split a network into the personal layers and the shared ones.

    Args:
        params: parameters of the network by layer.
        personal: names of the personal layers.

    Raises:
        BoflError: if a name is no layer of the network, or if no layer would be personal or none shared.
    """
    missing = sorted(set(personal) - set(params))
    if missing or not personal or not set(params) - set(personal):
        raise BoflError(
            f"layers {sorted(personal)} cannot be each client's own in a network of {sorted(params)}: "
            "name some of these, and not all"
        )
    return (
        {name: leaf for name, leaf in params.items() if name in personal},
        {name: leaf for name, leaf in params.items() if name not in personal},
    )


def personal_layers(train: TrainClient, personal: Collection[str]) -> LocalAlgorithm:
    """The algorithm in which each client keeps the personal layers, and ``train`` trains both kinds.

    Args:
        train: trains one client for one round; a client's state is its personal layers.
        personal: names of the personal layers.
    """
    return LocalAlgorithm(
        init=lambda initial_params, _: split_layers(initial_params, personal)[0],
        train=train,
        personal_model=lambda shared, state: shared | state,
        initial_shared=lambda initial_params: split_layers(initial_params, personal)[1],
        model=None,
    )


def train_together(loss: Loss, optimizer: optax.GradientTransformation, personal: Collection[str]) -> LocalAlgorithm:
    """All layers train together; the personal ones stay with the client, the others are averaged.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.
        personal: names of the personal layers.
    """
    loop, value_and_grad = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def train(shared: Layers, state: Layers, data: LocalData) -> Trained:
        params, info = loop(value_and_grad, shared | state, data)
        own, common = split_layers(params, personal)
        return model_delta(common, shared), own, info

    return personal_layers(train, personal)
