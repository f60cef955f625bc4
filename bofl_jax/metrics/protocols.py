"""Call signatures of metrics."""

from typing import Protocol

import jax
import numpy as np


class PredictionMetric(Protocol):
    """A metric of one set of predictions: a pure function that can be jitted and vmapped."""

    def __call__(self, probability: jax.Array, label: jax.Array, mask: jax.Array, /) -> jax.Array:
        """Measure the predictions.

        Args:
            probability: float32[N, K], predicted class probabilities.
            label: int32[N], true classes.
            mask: bool[N], False for padding, which must not influence the result.

        Returns:
            float32[] or float32[K], one number for each class; NaN where it is undefined.
        """
        ...


class MatrixMetric(Protocol):
    """A metric of one confusion matrix: a pure function that can be jitted and vmapped."""

    def __call__(self, matrix: jax.Array, /) -> jax.Array:
        """Measure a confusion matrix int32[K, K] (rows: true class), as float32[] or float32[K]."""
        ...


class NamedMatrixMetric(Protocol):
    """A metric of one confusion matrix that reads certain classes by their names."""

    def __call__(self, matrix: jax.Array, classes: tuple[str, ...], /) -> jax.Array:
        """Measure a confusion matrix int32[K, K] of K named classes, as float32[] or float32[K]."""
        ...


class ResampledMetric(Protocol):
    """A metric of many confusion matrices, as the bootstrap needs it."""

    def __call__(self, matrices: np.ndarray, /) -> np.ndarray:
        """Measure int64[B, K, K] as float64[B] or float64[B, K]; NaN where it is undefined."""
        ...
