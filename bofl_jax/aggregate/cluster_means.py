"""A reduction to one model for each cluster of similar clients: BFLN's server."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.aggregate.base import Reduction, ReductionInfo, StackedUpdates
from bofl_jax.aggregate.spectral import spectral_clusters

Tree = Any


class Prototypes(NamedTuple):
    """What the server remembers of the clients."""

    mean: jax.Array  # float32[C, K, D], mean representation of each class
    counts: jax.Array  # float32[C, K], samples in that mean; 0 for a class that the client never showed


def cluster_means(clusters: int, clients: int, classes: int, width: int) -> Reduction:
    """One model for each of G clusters of clients with similar prototypes.

    Clients' class prototypes are compared by Pearson's correlation r; (1 + r) / 2 is their affinity, and spectral
    clustering forms the clusters. The model of a cluster is the weighted mean of its members' models of this round, or,
    if no member took part, the mean of the models that its members had. A class that a client never showed counts as
    average. The reduced update is the whole of what is shared: ``{"models": [G, ...], "cluster": int32[C]}``.

    Args:
        clusters: G.
        clients: C.
        classes: K.
        width: D, entries of a representation.

    Li et al., BFLN: a blockchain-based federated learning model for non-IID data, arXiv 2407.05276, 2024.
    """

    def init(shared: Tree) -> Prototypes:
        del shared
        return Prototypes(jnp.zeros((clients, classes, width)), jnp.zeros((clients, classes)))

    def reduce(state: Prototypes, shared: Tree, received: StackedUpdates) -> tuple[Prototypes, Tree, ReductionInfo]:
        accepted = received.weight > 0
        index = jnp.where(accepted, received.client, clients)
        before = jax.tree.map(lambda models: models[shared["cluster"]], shared["models"])
        trained = jax.tree.map(lambda own, u: own.at[index].add(u, mode="drop"), before, received.update["params"])
        weight = jnp.zeros(clients).at[index].add(received.weight, mode="drop")
        state = _update_prototypes(state, index, received.update["prototype"], received.update["count"])
        cluster = spectral_clusters(_affinity(state), clusters)
        member = jax.nn.one_hot(cluster, clusters, axis=0)
        took_part = member * weight
        share = jnp.where(took_part.sum(axis=1, keepdims=True) > 0, took_part, member)
        empty = share.sum(axis=1) == 0
        share = share / jnp.maximum(share.sum(axis=1, keepdims=True), 1e-12)

        def average(own: jax.Array, old: jax.Array) -> jax.Array:
            unchanged = jnp.reshape(empty, (-1, *(1,) * (own.ndim - 1)))
            return jnp.where(unchanged, old, jnp.tensordot(share, own, axes=1))

        models = jax.tree.map(average, trained, shared["models"])
        info = ReductionInfo(received.weight, jnp.zeros_like(received.weight))
        return state, {"models": models, "cluster": cluster}, info

    return Reduction(reduce, init)


def _update_prototypes(state: Prototypes, index: jax.Array, total: jax.Array, count: jax.Array) -> Prototypes:
    """Replace the prototypes of the classes that were shown in this round."""
    shown = count > 0
    row = jnp.minimum(index, len(state.counts) - 1)
    mean = jnp.where(shown[..., None], total / jnp.maximum(count, 1)[..., None], state.mean[row])
    return Prototypes(
        state.mean.at[index].set(mean, mode="drop"),
        state.counts.at[index].set(jnp.where(shown, count, state.counts[row]), mode="drop"),
    )


def _affinity(state: Prototypes) -> jax.Array:
    """float32[C, C], 0 to 1."""
    shown = state.counts > 0
    average = state.mean.sum(axis=0) / jnp.maximum(shown.sum(axis=0), 1)[:, None]
    complete = jnp.where(shown[..., None], state.mean, average).reshape(len(state.mean), -1)
    centred = complete - complete.mean(axis=1, keepdims=True)
    unit = centred / jnp.maximum(jnp.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return jnp.clip((1 + unit @ unit.T) / 2, 0, 1)
