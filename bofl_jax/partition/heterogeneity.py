"""Differences between clients: counts of classes, divergence of label distributions."""

import numpy as np

from bofl_jax.partition.base import ClientIndices


def class_counts(rows: ClientIndices, y: np.ndarray, classes: int) -> np.ndarray:
    """Count each client's samples of each class.

    Args:
        rows: the sample indices of C clients.
        y: int32[N], labels of the pool.
        classes: K.

    Returns:
        int64[C, K].
    """
    sample, client = rows.flat()
    counts = np.zeros((len(rows.size), classes), np.int64)
    np.add.at(counts, (client, y[sample]), 1)
    return counts


def label_divergence(counts: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence, base 2, between the label distribution of each client and that of all clients.

    Args:
        counts: int[C, K], samples of each class.

    Returns:
        float64[C] from 0 (equal) to 1 (disjoint); NaN for a client without samples.

    >>> label_divergence(np.array([[5, 5], [10, 10]])).tolist()
    [0.0, 0.0]
    """
    from scipy.spatial.distance import jensenshannon  # slow to import

    pooled = counts.sum(axis=0) / counts.sum()
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.tile(pooled, (len(counts), 1)), where=totals > 0)
    distance = np.array([jensenshannon(share, pooled, base=2) for share in shares])
    return np.where(totals[:, 0] > 0, np.nan_to_num(distance) ** 2, np.nan)
