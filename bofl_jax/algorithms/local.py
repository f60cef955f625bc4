"""Local training: every client alone, nothing is shared. A baseline."""

from typing import Any, Literal

import jax
import optax

from bofl_jax.algorithms.base import LocalAlgorithm, LocalData, Loss, Params, Shared, Trained
from bofl_jax.algorithms.optimizer_loop import OptimizerLoop, OptimizerState
from bofl_jax.algorithms.options import UnsharedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class LocalOptions(UnsharedOptions):
    """Every client alone; nothing is shared."""

    algorithm: Literal["local"]

    def check_sections(self, config: Any) -> None:
        """Refuse personalisation: every model is personal already."""
        super().check_sections(config)
        if config.personalise.method != "none":
            raise ValueError("federation.algorithm = 'local' is personal already: set personalise.method = 'none'")


def local_only(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """A client trains alone and keeps its optimiser state from round to round; it sends and receives nothing.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.
    """
    loop, value_and_grad = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def init(initial_params: Params, shared: Shared) -> OptimizerState:
        del shared
        return loop.init(initial_params)

    def train(shared: Shared, state: OptimizerState, data: LocalData) -> Trained:
        del shared
        state, info = loop.run(value_and_grad, state, data)
        return (), state, info

    return LocalAlgorithm(
        init, train, personal_model=lambda _, state: state.params, initial_shared=lambda _: (), model=None
    )


ALGORITHMS.register(Algorithm(LocalOptions, lambda _, context: local_only(context.loss, context.optimizer)))
