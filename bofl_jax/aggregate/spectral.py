"""Spectral clustering inside a JAX program."""

import jax
import jax.numpy as jnp

ROUNDS = 50


def spectral_clusters(affinity: jax.Array, clusters: int) -> jax.Array:
    """Group n points by the leading eigenvectors of ``D^-1/2 A D^-1/2``, rows scaled to length 1.

    Ng, Jordan and Weiss, On spectral clustering: analysis and an algorithm, NIPS 2001. Deterministic: k-means begins at
    the first point and then at the point farthest from those chosen.

    Args:
        affinity: float32[n, n], symmetric, not negative.
        clusters: G, at most n.

    Returns:
        int32[n], 0 to G - 1.
    """
    scale = jax.lax.rsqrt(jnp.maximum(affinity.sum(axis=1), 1e-12))
    _, vectors = jnp.linalg.eigh(scale[:, None] * affinity * scale)
    leading = vectors[:, -clusters:]
    return k_means(leading / jnp.maximum(jnp.linalg.norm(leading, axis=1, keepdims=True), 1e-12), clusters)


def k_means(points: jax.Array, clusters: int) -> jax.Array:
    """int32[n]: Lloyd's groups of points float32[n, d]; a centre that loses all its points stays where it was."""

    def farthest(index: jax.Array, centres: jax.Array) -> jax.Array:
        chosen = jnp.arange(clusters) < index
        gap = jnp.where(chosen, _squared(points, centres), jnp.inf).min(axis=1)
        return centres.at[index].set(points[jnp.argmax(gap)])

    centres = jax.lax.fori_loop(1, clusters, farthest, jnp.zeros((clusters, points.shape[1])).at[0].set(points[0]))

    def improve(_: jax.Array, centres: jax.Array) -> jax.Array:
        member = jax.nn.one_hot(jnp.argmin(_squared(points, centres), axis=1), clusters)
        size = member.sum(axis=0)[:, None]
        return jnp.where(size > 0, member.T @ points / jnp.maximum(size, 1), centres)

    centres = jax.lax.fori_loop(0, ROUNDS, improve, centres)
    return jnp.argmin(_squared(points, centres), axis=1).astype(jnp.int32)


def _squared(points: jax.Array, centres: jax.Array) -> jax.Array:
    """float32[n, G]: squared distances."""
    return jnp.square(points[:, None] - centres[None]).sum(axis=-1)
