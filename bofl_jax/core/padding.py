"""Arrays of unlike length made alike."""

import numpy as np


def filled(column: np.ndarray, size: int) -> np.ndarray:
    """The same with zeros added along the first axis, up to ``size``.

    >>> filled(np.array([3, 4]), 3).tolist()
    [3, 4, 0]
    """
    return np.concatenate([column, np.zeros((size - len(column), *column.shape[1:]), column.dtype)])
