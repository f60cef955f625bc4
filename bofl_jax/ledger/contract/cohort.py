"""A round's cohort in the two forms that the contract stores: a digest and a bitmap."""

from hashlib import sha256

import numpy as np


def cohort_digest(addresses: np.ndarray, cohort: np.ndarray) -> bytes:
    """32 bytes: SHA-256 over the addresses of the cohort, in its order.

    Args:
        addresses: uint8[C, 20], addresses of all clients.
        cohort: int[M], indices of the invited clients.
    """
    return sha256(np.take(addresses, cohort, axis=0).data).digest()


def cohort_bitmap(cohort: np.ndarray) -> list[int]:
    """The cohort (int[M], client indices) as 256-bit words: bit i of word w stands for client 256 w + i.

    >>> cohort_bitmap(np.array([0, 3, 256]))
    [9, 1]
    """
    bits = np.zeros(256 * (int(cohort.max()) // 256 + 1), np.uint8)
    bits[cohort] = 1
    packed = np.packbits(bits, bitorder="little").reshape(-1, 32)
    return [int.from_bytes(word.tobytes(), "little") for word in packed]
