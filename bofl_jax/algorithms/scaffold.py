"""The client's part of SCAFFOLD."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, LocalData, Loss, OptimizerLoop, Params, Trained, model_delta

Tree = Any


def scaffold(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """Every step is corrected for the client's drift: ``y <- y - lr (grad loss(y) - c_k + c)``.

    The server shares ``{"params": w, "variate": c}``; each client keeps its own variate, which becomes
    ``c_k - c + (w - y) / (K lr)`` after K steps (option II of the paper). For plain gradient steps, no momentum.

    Karimireddy et al., SCAFFOLD: stochastic controlled averaging for federated learning, ICML 2020.
    """
    descend, gradient = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def init(first: Params, shared: Tree) -> Tree:
        del first
        return jax.tree.map(jnp.zeros_like, shared["variate"])

    def train(shared: Tree, variate: Tree, data: LocalData) -> Trained:
        correction = model_delta(shared["variate"], variate)

        def corrected(params: Params, batch: Batch) -> tuple[jax.Array, Params]:
            value, slope = gradient(params, batch)
            return value, jax.tree.map(jnp.add, slope, correction)

        params, info = descend(corrected, shared["params"], data)
        update = model_delta(params, shared["params"])
        mean_step = 1 / (jnp.maximum(data.steps, 1) * data.lr)
        moved = jax.tree.map(lambda c, u: -c - u * mean_step, correction, update)
        moved = jax.tree.map(lambda new, old: jnp.where(data.steps > 0, new, old), moved, variate)
        return {"params": update, "variate": model_delta(moved, variate)}, moved, info

    def share(first: Params) -> Tree:
        return {"params": first, "variate": jax.tree.map(jnp.zeros_like, first)}

    return LocalAlgorithm(init, train, initial_shared=share, model=lambda shared: shared["params"])
