"""BFLN: a model for each cluster of clients with similar prototypes.

Li et al., BFLN: a blockchain-based federated learning model for non-IID data, arXiv 2407.05276, 2024.
"""

from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import optax
from pydantic import Field

from bofl_jax import aggregate
from bofl_jax.algorithms.base import Batch, ClientState, LocalAlgorithm, LocalData, Loss, Params, Trained, stateless
from bofl_jax.algorithms.optimizer_loop import OptimizerLoop, model_delta
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm, BuildContext
from bofl_jax.core.errors import BoflError

Tree = Any


class BflnOptions(FederatedOptions):
    """BFLN: a model for each cluster of clients with similar prototypes."""

    own_server = True
    own_server_fields = ()
    algorithm: Literal["bfln"]
    clusters: int = Field(4, ge=1, description="G, clusters of clients with a model each")
    prototype_steps: int = Field(4, ge=1, description="batches over which a client's prototypes are averaged")


class Embed(Protocol):
    """Call signature of the representation that a network computes of a batch."""

    def __call__(self, params: Params, batch: Batch, /) -> jax.Array:
        """Return the representation, float32[B, D]."""
        ...


def bfln(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    embed: Embed,
    classes: int,
    clients: int,
    clusters: int,
    prototype_steps: int,
) -> LocalAlgorithm:
    """The server shares ``{"models": [G, ...], "cluster": int32[C]}``: G models, and the cluster of each client.

    A client trains the model of its cluster. It sends the difference and, for every class, the sum of its
    representations over ``prototype_steps`` batches and the number of samples in that sum, from which
    `bofl_jax.aggregate.cluster_means` forms the clusters.

    Args:
        loss: loss of one batch.
        optimizer: the clients' optimiser, for a learning rate of 1.
        embed: computes the representation of a batch.
        classes: K.
        clients: C.
        clusters: G.
        prototype_steps: batches over which the prototypes are averaged.
    """
    loop, value_and_grad = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def download(shared: Tree, client: jax.Array) -> Params:
        return jax.tree.map(lambda models: models[shared["cluster"][client]], shared["models"])

    def train(before: Params, state: ClientState, data: LocalData) -> Trained:
        params, info = loop(value_and_grad, before, data)

        def add(sums: tuple[jax.Array, jax.Array], batch: Batch) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            member = jax.nn.one_hot(batch.y, classes, dtype=jnp.float32)
            total, count = sums
            return (total + member.T @ embed(params, batch), count + member.sum(axis=0)), jnp.float32(0)

        width = jax.eval_shape(lambda: embed(params, data.batch(jnp.int32(0), 1))).shape[1]
        zeros = (jnp.zeros((classes, width), jnp.float32), jnp.zeros(classes, jnp.float32))
        (total, count), more = data.run(add, zeros, part=1, steps=prototype_steps)
        update = {"params": model_delta(params, before), "prototype": total, "count": count}
        return update, state, info._replace(examples=info.examples + more.examples)

    def initial_shared(initial_params: Params) -> Tree:
        models = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], clusters, axis=0), initial_params)
        return {"models": models, "cluster": jnp.zeros(clients, jnp.int32)}

    return LocalAlgorithm(
        stateless,
        train,
        personal_model=lambda model, _: model,
        initial_shared=initial_shared,
        download=download,
        model=None,
    )


def _client(options: BflnOptions, context: BuildContext) -> LocalAlgorithm:
    if options.clusters > context.clients:
        raise BoflError(f"federation.clusters = {options.clusters}, but there are {context.clients} clients: lower it")
    return bfln(
        context.loss,
        context.optimizer,
        lambda params, batch: context.model.embed(params, batch.x, batch.features),
        context.classes,
        context.clients,
        options.clusters,
        options.prototype_steps,
    )


def _reduction(options: BflnOptions, context: BuildContext) -> aggregate.Reduction:
    return aggregate.cluster_means(options.clusters, context.clients, context.classes, context.model.embedding_size)


ALGORITHMS.register(Algorithm(BflnOptions, _client, _reduction, lambda *_: aggregate.replace()))
