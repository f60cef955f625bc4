"""BFLN's server: group the clients by their prototypes, and average within each group."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.aggregate.base import Aggregator, Gathered
from bofl_jax.aggregate.spectral import spectral_clusters

Tree = Any


class Prototypes(NamedTuple):
    """What the server remembers of the clients."""

    mean: jax.Array  # float32[C, K, D], mean representation of each class
    seen: jax.Array  # float32[C, K], samples that it is the mean of; 0: never seen


def clustered(clusters: int, clients: int, classes: int, width: int) -> Aggregator:
    """A model for each of G groups of clients whose prototypes resemble each other.

    Clients' class prototypes are compared by Pearson's correlation r, (1 + r) / 2 is their affinity, and spectral
    clustering forms the groups. A group's model is the weighted mean of its members' models of this round; where none
    took part, the mean of the models that its members had. A class that a client never showed counts as average.

    Args:
        clusters: G.
        clients: C.
        classes: K.
        width: D, of a representation.

    Li et al., BFLN: a blockchain-based federated learning model for non-IID data, arXiv 2407.05276, 2024.
    """

    def init(shared: Tree) -> Prototypes:
        del shared
        return Prototypes(jnp.zeros((clients, classes, width)), jnp.zeros((clients, classes)))

    def step(state: Prototypes, shared: Tree, received: Gathered) -> tuple[Prototypes, Tree]:
        counts = received.weight > 0
        place = jnp.where(counts, received.client, clients)
        before = jax.tree.map(lambda models: models[shared["cluster"]], shared["models"])
        trained = jax.tree.map(lambda own, u: own.at[place].add(u, mode="drop"), before, received.update["params"])
        weight = jnp.zeros(clients).at[place].add(received.weight, mode="drop")
        state = _remember(state, place, received.update["prototype"], received.update["count"])
        group = spectral_clusters(_affinity(state), clusters)
        member = jax.nn.one_hot(group, clusters, axis=0)
        took_part = member * weight
        share = jnp.where(took_part.sum(axis=1, keepdims=True) > 0, took_part, member)
        empty = share.sum(axis=1) == 0
        share = share / jnp.maximum(share.sum(axis=1, keepdims=True), 1e-12)

        def average(own: jax.Array, old: jax.Array) -> jax.Array:
            kept = jnp.reshape(empty, (-1, *(1,) * (own.ndim - 1)))
            return jnp.where(kept, old, jnp.tensordot(share, own, axes=1))

        models = jax.tree.map(average, trained, shared["models"])
        return state, {"models": models, "cluster": group}

    return Aggregator(init, step, gathers=True)


def _remember(state: Prototypes, place: jax.Array, total: jax.Array, count: jax.Array) -> Prototypes:
    """Replace the prototypes of the classes that were seen this round."""
    shown = count > 0
    known = jnp.minimum(place, len(state.seen) - 1)
    mean = jnp.where(shown[..., None], total / jnp.maximum(count, 1)[..., None], state.mean[known])
    return Prototypes(
        state.mean.at[place].set(mean, mode="drop"),
        state.seen.at[place].set(jnp.where(shown, count, state.seen[known]), mode="drop"),
    )


def _affinity(state: Prototypes) -> jax.Array:
    """float32[C, C], 0 to 1."""
    shown = state.seen > 0
    average = state.mean.sum(axis=0) / jnp.maximum(shown.sum(axis=0), 1)[:, None]
    complete = jnp.where(shown[..., None], state.mean, average).reshape(len(state.mean), -1)
    centred = complete - complete.mean(axis=1, keepdims=True)
    unit = centred / jnp.maximum(jnp.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return jnp.clip((1 + unit @ unit.T) / 2, 0, 1)
