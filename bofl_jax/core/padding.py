"""Arrays of unlike length made alike."""

import numpy as np


def pad_to(column: np.ndarray, size: int) -> np.ndarray:
    """The same with zeros added along the first axis, up to ``size``.

    >>> filled(np.array([3, 4]), 3).tolist()
    [3, 4, 0]
    """
    return np.concatenate([column, np.zeros((size - len(column), *column.shape[1:]), column.dtype)])


def bucket_size(count: int) -> int:
    """A number rounded up by at most an eighth: what is padded to it comes in few sizes, which share programs.

    >>> capacity(12_400), capacity(12_600), capacity(7)
    (13312, 13312, 7)
    """
    step = 1 << max(0, count.bit_length() - 4)
    return -(-count // step) * step
