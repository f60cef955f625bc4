"""The client's part of BFLN: train the cluster's model, and describe oneself by a prototype of every class."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bofl_jax.algorithms.base import (
    Batch,
    ClientState,
    LocalAlgorithm,
    LocalData,
    Loss,
    OptimizerLoop,
    Params,
    Trained,
    model_delta,
    stateless,
)

Tree = Any


def bfln(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    embed: Callable[[Params, Batch], jax.Array],
    classes: int,
    clients: int,
    clusters: int,
    prototype_steps: int,
) -> LocalAlgorithm:
    """The server shares ``{"models": [G, ...], "cluster": int32[C]}``: G models, and which client has which.

    A client is sent the model of its cluster, trains it, and sends the difference with, for every class, the sum of its
    representations over ``prototype_steps`` batches and their number: `bofl_jax.aggregate.clustered` groups by them.

    Args:
        loss: loss of one batch.
        optimizer: for a learning rate of 1.
        embed: parameters, batch -> representation[B, D].
        classes: K.
        clients: C.
        clusters: G.
        prototype_steps: batches of which the prototypes are the mean.

    Li et al., BFLN: a blockchain-based federated learning model for non-IID data, arXiv 2407.05276, 2024.
    """
    descend, gradient = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def view(shared: Tree, client: jax.Array) -> Params:
        return jax.tree.map(lambda models: models[shared["cluster"][client]], shared["models"])

    def train(before: Params, kept: ClientState, data: LocalData) -> Trained:
        params, info = descend(gradient, before, data)

        def add(sums: tuple[jax.Array, jax.Array], batch: Batch) -> tuple[Any, jax.Array]:
            member = jax.nn.one_hot(batch.y, classes, dtype=jnp.float32)
            total, count = sums
            return (total + member.T @ embed(params, batch), count + member.sum(axis=0)), jnp.float32(0)

        width = jax.eval_shape(lambda: embed(params, data.batch(jnp.int32(0), 1))).shape[1]
        nothing = (jnp.zeros((classes, width), jnp.float32), jnp.zeros(classes, jnp.float32))
        (total, count), more = data.run(add, nothing, part=1, steps=prototype_steps)
        update = {"params": model_delta(params, before), "prototype": total, "count": count}
        return update, kept, info._replace(examples=info.examples + more.examples)

    def share(first: Params) -> Tree:
        models = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], clusters, axis=0), first)
        return {"models": models, "cluster": jnp.zeros(clients, jnp.int32)}

    return LocalAlgorithm(
        stateless, train, personal_model=lambda model, _: model, initial_shared=share, download=view, model=None
    )
