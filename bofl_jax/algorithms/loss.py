"""Cross-entropy of one batch, with optional class weights."""

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bofl_jax.algorithms.base import Batch, Loss, Params
from bofl_jax.algorithms.options import ClassWeights


class Apply(Protocol):
    """Call signature of a network."""

    def __call__(self, params: Params, x: jax.Array, features: jax.Array, /) -> jax.Array:
        """Return logits float32[B, K] of windows x[B, T, L] with features[B, F]."""
        ...


def class_weights(counts: np.ndarray, kind: ClassWeights) -> np.ndarray:
    """Weights of the classes from their training counts; their mean is 1 over the classes that occur.

    ``inverse``: n / n_c; ``sqrt``: its square root; ``none``: 1. A class that never occurs gets 0.

    Args:
        counts: int[K], training samples of each class over all clients.
        kind: how the weights follow from the counts.

    >>> [round(float(weight), 2) for weight in class_weights(np.array([90, 10]), "inverse")]
    [0.2, 1.8]
    """
    present = counts > 0
    power = {"none": 0.0, "sqrt": 0.5, "inverse": 1.0}[kind]
    raw = np.where(present, (counts.sum() / np.maximum(counts, 1)) ** power, 0.0)
    weights: np.ndarray = (raw / raw[present].mean()).astype(np.float32)
    return weights


def cross_entropy(apply: Apply, weights: jax.Array | np.ndarray) -> Loss:
    """Mean over the batch of ``weights[y] * -log softmax(logits)[y]``.

    The loss is a product with one-hot labels. Selecting by index would have a scatter as its gradient, which the
    compiler rounds differently on one device and on two.

    Args:
        apply: computes the logits.
        weights: float32[K].
    """
    table = jnp.asarray(weights)

    def loss(params: Params, batch: Batch) -> jax.Array:
        logits = apply(params, batch.x, batch.features)
        each = optax.softmax_cross_entropy(logits, jax.nn.one_hot(batch.y, logits.shape[-1]))
        return jnp.mean(table[batch.y] * each)

    return loss
