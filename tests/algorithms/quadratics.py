"""Quadratic losses with closed forms, and streams of batches: what the tests of the algorithms share."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bofl_jax import algorithms

RNG = np.random.default_rng(0)
DIM = 4
A = np.diag([0.5, 1.0, 2.0, 3.0]).astype(np.float32) + 0.1


def quadratic(params, batch):
    """f(w) = 1/2 (w - c)' A (w - c), with c the mean of the batch: gradient A (w - c), Hessian A."""
    gap = params - batch.features.mean(axis=0)
    return 0.5 * gap @ jnp.asarray(A) @ gap


def make_batch(size=6, seed=0):
    features = jax.random.normal(jax.random.key(seed), (size, DIM))
    return algorithms.Batch(jnp.zeros((size, 1, 1)), features, jnp.zeros(size, jnp.int32))


W = jnp.asarray(RNG.standard_normal(DIM), jnp.float32)
INITIAL = W - 0.5
SGD = optax.sgd(1.0)
LR = 0.1


def batch_stream(steps=1, size=6, lr=LR):
    """Batches of their own for every step and part."""
    batches = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(make_batch(size, seed) for seed in range(20)))

    def batch(step, part):
        return jax.tree.map(lambda leaf: leaf[step + 10 * part], batches)

    return algorithms.LocalData(batch, size, jnp.int32(steps), jnp.float32(lr))


def mean_of_batch(step, part=0):
    return np.asarray(make_batch(seed=step + 10 * part).features.mean(axis=0), np.float64)


def train_once(algorithm, steps=1, shared=None, state=None):
    """One client's round from ``shared`` (W): update, state, info."""
    shared = W if shared is None else shared
    state = algorithm.init(INITIAL, shared) if state is None else state
    return algorithm.train(shared, state, batch_stream(steps))


def gradient(w, centre):
    return A @ (np.asarray(w, np.float64) - centre)


def descend(w, steps, pull=0.0, centre=None, part=0):
    """Plain descent on the quadratics of a stream, in float64."""
    w = np.asarray(w, np.float64)
    for step in range(steps):
        w = w - LR * (gradient(w, mean_of_batch(step, part)) + (pull * (w - centre) if pull else 0))
    return w
