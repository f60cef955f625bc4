"""Methods in which some layers are each client's own and only the others are shared: FedPer, FedRep, FedBN."""

from collections.abc import Collection

import jax
import optax

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, LocalData, Loss, OptimizerLoop, Params, Trained, model_delta
from bofl_jax.core.errors import BoflError

Layers = dict[str, Params]
"""Parameters of a network, or of some of its layers, by the name of the layer."""


def _split(params: Layers, own: Collection[str]) -> tuple[Layers, Layers]:
    """The client's own layers, and the others."""
    missing = sorted(set(own) - set(params))
    if missing or not own or not set(params) - set(own):
        raise BoflError(
            f"layers {sorted(own)} cannot be each client's own in a network of {sorted(params)}: "
            "name some of these, and not all"
        )
    return {n: p for n, p in params.items() if n in own}, {n: p for n, p in params.items() if n not in own}


def _algorithm(train, own: Collection[str]) -> LocalAlgorithm:
    return LocalAlgorithm(
        init=lambda first, _: _split(first, own)[0],
        train=train,
        personal_model=lambda shared, kept: shared | kept,
        initial_shared=lambda first: _split(first, own)[1],
        model=None,
    )


def own_layers(loss: Loss, optimizer: optax.GradientTransformation, own: Collection[str]) -> LocalAlgorithm:
    """All layers train together; those in ``own`` stay with the client, the others are averaged.

    With the last layers it is FedPer (Arivazhagan et al., Federated learning with personalization layers, arXiv
    1912.00818, 2019); with the normalisation layers it is FedBN (Li et al., FedBN: federated learning on non-IID
    features via local batch normalization, ICLR 2021), here for layers that normalise within a sample.
    """
    descend, gradient = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def train(shared: Layers, kept: Layers, data: LocalData) -> Trained:
        params, info = descend(gradient, shared | kept, data)
        mine, common = _split(params, own)
        return model_delta(common, shared), mine, info

    return _algorithm(train, own)


def fedrep(
    loss: Loss, optimizer: optax.GradientTransformation, own: Collection[str], head_steps: int | None = None
) -> LocalAlgorithm:
    """First the head alone, for ``head_steps`` batches, then the body alone, for the round's steps.

    Args:
        loss: loss of one batch.
        optimizer: for a learning rate of 1.
        own: layers of the head.
        head_steps: as many as of the body when left out.

    Collins, Hassani, Mokhtari and Shakkottai, Exploiting shared representations for personalized federated learning,
    ICML 2021.
    """
    descend = OptimizerLoop(optimizer)

    def train(shared: Layers, kept: Layers, data: LocalData) -> Trained:
        def of_head(head: Layers, batch: Batch) -> jax.Array:
            return loss(shared | head, batch)

        head, first = descend(jax.value_and_grad(of_head), kept, data, part=1, steps=head_steps)

        def of_body(body: Layers, batch: Batch) -> jax.Array:
            return loss(body | head, batch)

        body, info = descend(jax.value_and_grad(of_body), shared, data)
        return model_delta(body, shared), head, info._replace(examples=info.examples + first.examples)

    return _algorithm(train, own)
