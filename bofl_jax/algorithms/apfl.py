"""APFL: each client's model is a mixture of a personal part and the global model."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from pydantic import Field

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, LocalData, Loss, Params, Shared, Trained
from bofl_jax.algorithms.optimizer_loop import OptimizerLoop, OptimizerState, model_delta
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class ApflOptions(FederatedOptions):
    """APFL."""

    traced_fields = ("mixing",)
    algorithm: Literal["apfl"]
    mixing: float = Field(0.5, ge=0, le=1, description="initial share of the personal part in a client's model")
    adaptive: bool = Field(False, description="whether each client learns its share")


class Mixture(NamedTuple):
    """A client's state."""

    personal: Params  # the personal part of the mixed model
    share: jax.Array  # float32, share of the personal part


class _Mixing(NamedTuple):
    """State within a round."""

    common: OptimizerState
    personal: OptimizerState
    share: jax.Array


def apfl(loss: Loss, optimizer: optax.GradientTransformation, mixing: float, adaptive: bool = False) -> LocalAlgorithm:
    """The client's model is a mixture ``a v + (1 - a) w`` of its personal part v and the global model w.

    Every batch first moves w on its own loss, then v on the mixture's: ``v <- v - lr a grad loss(a v + (1 - a) w)``.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.
        mixing: initial a, 0 to 1.
        adaptive: whether each client moves its a on the mixture's loss, at the same rate, kept within 0 and 1.

    Deng, Kamani and Mahdavi, Adaptive personalized federated learning, arXiv 2003.13461, 2020.
    """
    loop, value_and_grad = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def mix(share: jax.Array, personal: Params, shared: Params) -> Params:
        return jax.tree.map(lambda v, w: w + share * (v - w), personal, shared)

    def init(initial_params: Params, shared: Shared) -> Mixture:
        del initial_params
        return Mixture(shared, jnp.float32(mixing))

    def train(shared: Shared, state: Mixture, data: LocalData) -> Trained:
        def step(mixing: _Mixing, batch: Batch) -> tuple[_Mixing, jax.Array]:
            common, personal, share = mixing
            value, gradient = value_and_grad(common.params, batch)
            common = loop.step(common, gradient, data.lr)
            _, gradient = value_and_grad(mix(share, personal.params, common.params), batch)
            moved = loop.step(personal, jax.tree.map(lambda g: share * g, gradient), data.lr)
            if adaptive:
                slope = optax.tree.vdot(model_delta(personal.params, common.params), gradient)
                share = jnp.clip(share - data.lr * slope, 0, 1)
            return _Mixing(common, moved, share), value

        first = _Mixing(loop.init(shared), loop.init(state.personal), state.share)
        (common, personal, share), info = data.run(step, first)
        doubled = info._replace(examples=2 * info.examples)
        return model_delta(common.params, shared), Mixture(personal.params, share), doubled

    return LocalAlgorithm(init, train, personal_model=lambda shared, state: mix(state.share, state.personal, shared))


ALGORITHMS.register(
    Algorithm(
        ApflOptions,
        lambda options, context: apfl(context.loss, context.optimizer, options.mixing, options.adaptive),
    )
)
