"""The loss of one batch, with optional class weights."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bofl_jax.algorithms.base import Batch, Loss, Params

ClassWeights = Literal["none", "sqrt", "inverse"]


def class_weights(counts: np.ndarray, kind: ClassWeights) -> np.ndarray:
    """Weights of the classes from their training counts, mean 1 over the classes that occur.

    ``inverse``: n / n_c; ``sqrt``: its square root; ``none``: 1. A class that never occurs gets 0.

    Args:
        counts: int[K], training samples of each class over all clients.

    >>> [round(float(weight), 2) for weight in class_weights(np.array([90, 10]), "inverse")]
    [0.2, 1.8]
    """
    present = counts > 0
    power = {"none": 0.0, "sqrt": 0.5, "inverse": 1.0}[kind]
    raw = np.where(present, (counts.sum() / np.maximum(counts, 1)) ** power, 0.0)
    return (raw / raw[present].mean()).astype(np.float32)


def cross_entropy(apply: Callable[[Params, jax.Array, jax.Array], jax.Array], weights: jax.Array | np.ndarray) -> Loss:
    """Mean over the batch of ``weights[y] * -log softmax(logits)[y]``.

    By a product with one-hot labels: picking by index has a scatter for its gradient, which the compiler rounds one way
    on one device and another on two.

    Args:
        apply: parameters, x[B,T,L], features[B,F] -> logits[B,K].
        weights: float32[K].
    """
    table = jnp.asarray(weights)

    def loss(params: Params, batch: Batch) -> jax.Array:
        logits = apply(params, batch.x, batch.features)
        each = optax.softmax_cross_entropy(logits, jax.nn.one_hot(batch.y, logits.shape[-1]))
        return jnp.mean(table[batch.y] * each)

    return loss
