"""Padding of arrays to common lengths."""

import numpy as np


def pad_to(array: np.ndarray, size: int) -> np.ndarray:
    """Append zeros along the first axis.

    Args:
        array: ``[n, ...]``.
        size: length of the result, at least n.

    >>> pad_to(np.array([3, 4]), 3).tolist()
    [3, 4, 0]
    """
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])


def bucket_size(count: int) -> int:
    """Round a count up by at most an eighth, so that padded arrays have few different sizes and share programs.

    >>> bucket_size(12_400), bucket_size(12_600), bucket_size(7)
    (13312, 13312, 7)
    """
    step = 1 << max(0, count.bit_length() - 4)
    return -(-count // step) * step
