"""Digest of an update or a model: a tree of SHA-256 hashes over its bytes, which hashlib alone can verify.

The bytes are cut into chunks of 1024. The last chunk may be shorter, and no bytes at all are one empty chunk. Then

    leaf   = SHA-256(0 || chunk)
    node   = SHA-256(1 || left || right)            an odd node moves up unchanged
    digest = SHA-256(2 || SHA-256(layout text) || length in bytes || root)

with 0, 1, 2 as 4-byte words and the length as 8 bytes, all big-endian. The tree is that of RFC 6962 (Laurie, Langley,
Kasper, Certificate Transparency, 2013); the tags are words so that a GPU can hash word-aligned messages. The bytes and
the layout text come from `bofl_jax.core.serialization`.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np

CHUNK_BYTES = 1024
LEAF, NODE, DIGEST = (tag.to_bytes(4, "big") for tag in range(3))


def digest(layout_text: str, data: bytes | memoryview) -> bytes:
    r"""Compute the digest of one update or model.

    Args:
        layout_text: a line ``path shape dtype`` for each leaf of the pytree.
        data: the little-endian bytes of the leaves, concatenated.

    Returns:
        32 bytes.

    >>> digest("['w'] (2,) float32\n", bytes(8)).hex()[:16]
    '787bab58f8ccc924'
    """
    hashes = _leaf_hasher(len(data))(np.frombuffer(data, np.uint8))
    return sha256(_header(layout_text, len(data)) + _root(hashes)).digest()


def digest_rows(layout_text: str, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the digests of C updates of one layout.

    Args:
        layout_text: layout of one update.
        parts: uint8[C, bytes] for each leaf; the bytes of an update are its rows, one after the other.

    Returns:
        uint8[C, 32].
    """
    length = sum(part.shape[1] for part in parts)
    header, leaf_hashes = _header(layout_text, length), _leaf_hasher(length)
    rows = (np.concatenate([part[client] for part in parts]) for client in range(len(parts[0])))
    digests = [sha256(header + _root(leaf_hashes(row))).digest() for row in rows]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _header(layout_text: str, length: int) -> bytes:
    return DIGEST + sha256(layout_text.encode()).digest() + length.to_bytes(8, "big")


def _leaf_hasher(length: int) -> Callable[[np.ndarray], list[bytes]]:
    """A function from one row uint8[length] to the hashes of its chunks.

    The buffer with the tag in front of each chunk is allocated once for all rows, because Python's work on each chunk
    costs more than SHA-256 itself.
    """
    whole = length // CHUNK_BYTES
    messages = np.zeros((whole, len(LEAF) + CHUNK_BYTES), np.uint8)
    messages[:, : len(LEAF)] = np.frombuffer(LEAF, np.uint8)
    views = [message.data for message in messages]

    def hash_row(row: np.ndarray) -> list[bytes]:
        messages[:, len(LEAF) :] = row[: whole * CHUNK_BYTES].reshape(whole, CHUNK_BYTES)
        hashes = [sha256(view).digest() for view in views]
        rest = row[whole * CHUNK_BYTES :]
        return [*hashes, sha256(LEAF + rest.tobytes()).digest()] if len(rest) or not whole else hashes

    return hash_row


def _root(nodes: list[bytes]) -> bytes:
    while len(nodes) > 1:
        odd = nodes[-1:] if len(nodes) % 2 else []
        nodes = [sha256(NODE + nodes[i] + nodes[i + 1]).digest() for i in range(0, len(nodes) - 1, 2)] + odd
    return nodes[0]
