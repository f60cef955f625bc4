"""The client's part of APFL."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from bofl_jax.algorithms.base import (
    Batch,
    LocalAlgorithm,
    LocalData,
    Loss,
    OptimizerLoop,
    Params,
    Shared,
    Trained,
    model_delta,
)


class Mixture(NamedTuple):
    """What a client keeps: its part of the mixed model."""

    own: Params
    mixing: jax.Array  # float32, share of the own part


def apfl(loss: Loss, optimizer: optax.GradientTransformation, mixing: float, adaptive: bool = False) -> LocalAlgorithm:
    """The client's model is a mixture ``a v + (1 - a) w`` of its own part v and the shared model w.

    Every batch first moves w on its own loss, then v on the mixture's: ``v <- v - lr a grad loss(a v + (1 - a) w)``.

    Args:
        loss: loss of one batch.
        optimizer: for a learning rate of 1.
        mixing: a at first, 0 to 1.
        adaptive: whether each client moves its a on the mixture's loss, at the same rate, kept within 0 and 1.

    Deng, Kamani and Mahdavi, Adaptive personalized federated learning, arXiv 2003.13461, 2020.
    """
    descend, gradient = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def mixed(share: jax.Array, own: Params, shared: Params) -> Params:
        return jax.tree.map(lambda v, w: w + share * (v - w), own, shared)

    def init(first: Params, shared: Shared) -> Mixture:
        del first
        return Mixture(shared, jnp.float32(mixing))

    def train(shared: Shared, kept: Mixture, data: LocalData) -> Trained:
        def step(state: tuple, batch: Batch) -> tuple[tuple, jax.Array]:
            common, own, share = state
            value, slope = gradient(common.params, batch)
            common = descend.step(common, slope, data.lr)
            _, slope = gradient(mixed(share, own.params, common.params), batch)
            moved = descend.step(own, jax.tree.map(lambda g: share * g, slope), data.lr)
            if adaptive:
                towards = optax.tree.vdot(model_delta(own.params, common.params), slope)
                share = jnp.clip(share - data.lr * towards, 0, 1)
            return (common, moved, share), value

        (common, own, share), info = data.run(step, (descend.init(shared), descend.init(kept.own), kept.mixing))
        doubled = info._replace(examples=2 * info.examples)
        return model_delta(common.params, shared), Mixture(own.params, share), doubled

    return LocalAlgorithm(init, train, personal_model=lambda shared, kept: mixed(kept.mixing, kept.own, shared))
