"""How unlike the clients are."""

import numpy as np
from scipy.spatial.distance import jensenshannon

from bofl_jax.partition.base import ClientIndices


def class_counts(rows: ClientIndices, y: np.ndarray, classes: int) -> np.ndarray:
    """int64[C, K]: how many samples of each class each client holds."""
    sample, client = rows.flat()
    counts = np.zeros((len(rows.size), classes), np.int64)
    np.add.at(counts, (client, y[sample]), 1)
    return counts


def label_divergence(counts: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence, base 2, of each client's label distribution from the pooled one.

    Args:
        counts: int[C, K].

    Returns:
        float64[C] in 0 (alike) ... 1 (disjoint); NaN for a client without samples.

    >>> label_divergence(np.array([[5, 5], [10, 10]])).tolist()
    [0.0, 0.0]
    """
    pooled = counts.sum(axis=0) / counts.sum()
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.tile(pooled, (len(counts), 1)), where=totals > 0)
    distance = np.array([jensenshannon(share, pooled, base=2) for share in shares])
    return np.where(totals[:, 0] > 0, np.nan_to_num(distance) ** 2, np.nan)
