"""FedNova: updates are normalised by the clients' numbers of steps."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from bofl_jax import aggregate
from bofl_jax.aggregate import ReducedUpdate, ServerOptimizer
from bofl_jax.algorithms.base import ClientState, LocalAlgorithm, LocalData, Loss, Shared, Trained, stateless
from bofl_jax.algorithms.optimizer_loop import OptimizerLoop
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class FedNovaOptions(FederatedOptions):
    """FedNova."""

    plain_steps = True
    own_server = True
    algorithm: Literal["fednova"]


def fednova(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """Plain training; a client sends its mean step and its number of steps, ``((w - shared) / tau, tau)``.

    Clients that do more steps then have no more influence than others. For plain gradient steps (no momentum), where
    the normalising factor of the paper is the number of steps.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.

    Wang et al., Tackling the objective inconsistency problem in heterogeneous federated optimization, NeurIPS 2020.
    """
    loop, value_and_grad = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def train(shared: Shared, state: ClientState, data: LocalData) -> Trained:
        params, info = loop(value_and_grad, shared, data)
        tau = jnp.maximum(data.steps, 1).astype(jnp.float32)
        direction = jax.tree.map(lambda w, s: (w - s) / tau, params, shared)
        return {"direction": direction, "steps": data.steps.astype(jnp.float32)}, state, info

    return LocalAlgorithm(stateless, train)


def fednova_server(server_lr: float = 1.0) -> ServerOptimizer:
    """``w <- w + server_lr * tau * mean direction``, with tau the weighted mean of the clients' numbers of steps.

    Wang et al., Tackling the objective inconsistency problem in heterogeneous federated optimization, NeurIPS 2020.
    """

    def step(state: tuple[()], shared: Shared, received: ReducedUpdate) -> tuple[tuple[()], Shared]:
        rate = server_lr * received.update["steps"]
        return state, aggregate.add_scaled(shared, received.update["direction"], rate)

    return ServerOptimizer(aggregate.stateless, step)


ALGORITHMS.register(
    Algorithm(
        FedNovaOptions,
        lambda _, context: fednova(context.loss, context.optimizer),
        server=lambda _, context: fednova_server(context.server_lr),
    )
)
