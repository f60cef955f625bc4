"""SCAFFOLD: control variates correct the drift of the clients."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from bofl_jax import aggregate
from bofl_jax.aggregate import ReducedUpdate, ServerOptimizer
from bofl_jax.algorithms.base import Batch, LocalAlgorithm, LocalData, Loss, Params, Shared, Trained
from bofl_jax.algorithms.optimizer_loop import OptimizerLoop, model_delta
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm

Tree = Any


class ScaffoldOptions(FederatedOptions):
    """SCAFFOLD."""

    plain_steps = True
    own_server = True
    algorithm: Literal["scaffold"]


def scaffold(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """Every step is corrected for the client's drift: ``y <- y - lr (grad loss(y) - c_k + c)``.

    The server shares ``{"params": w, "variate": c}``. Each client keeps its own variate, which becomes
    ``c_k - c + (w - y) / (K lr)`` after K steps (option II of the paper). For plain gradient steps, no momentum.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.

    Karimireddy et al., SCAFFOLD: stochastic controlled averaging for federated learning, ICML 2020.
    """
    loop, value_and_grad = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def init(initial_params: Params, shared: Tree) -> Tree:
        del initial_params
        return jax.tree.map(jnp.zeros_like, shared["variate"])

    def train(shared: Tree, variate: Tree, data: LocalData) -> Trained:
        correction = model_delta(shared["variate"], variate)

        def corrected(params: Params, batch: Batch) -> tuple[jax.Array, Params]:
            value, gradient = value_and_grad(params, batch)
            return value, jax.tree.map(jnp.add, gradient, correction)

        params, info = loop(corrected, shared["params"], data)
        update = model_delta(params, shared["params"])
        per_step = 1 / (jnp.maximum(data.steps, 1) * data.lr)
        moved = jax.tree.map(lambda c, u: -c - u * per_step, correction, update)
        moved = jax.tree.map(lambda new, old: jnp.where(data.steps > 0, new, old), moved, variate)
        return {"params": update, "variate": model_delta(moved, variate)}, moved, info

    def initial_shared(initial_params: Params) -> Tree:
        return {"params": initial_params, "variate": jax.tree.map(jnp.zeros_like, initial_params)}

    return LocalAlgorithm(init, train, initial_shared=initial_shared, model=lambda shared: shared["params"])


def scaffold_server(server_lr: float = 1.0) -> ServerOptimizer:
    """``w <- w + server_lr * mean update``; ``c <- c + share * mean change of the clients' variates``.

    ``share`` is the weight of the clients that took part by the weight of all clients. Where all weigh the same it is
    |S|/N of the paper, and c stays the weighted mean of all clients' variates.

    Karimireddy et al., SCAFFOLD: stochastic controlled averaging for federated learning, ICML 2020.
    """

    def step(state: tuple[()], shared: Shared, received: ReducedUpdate) -> tuple[tuple[()], Shared]:
        params = aggregate.add_scaled(shared["params"], received.update["params"], server_lr)
        variate = aggregate.add_scaled(shared["variate"], received.update["variate"], received.share)
        return state, {"params": params, "variate": variate}

    return ServerOptimizer(aggregate.stateless, step)


ALGORITHMS.register(
    Algorithm(
        ScaffoldOptions,
        lambda _, context: scaffold(context.loss, context.optimizer),
        server=lambda _, context: scaffold_server(context.server_lr),
    )
)
