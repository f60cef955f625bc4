"""Digest of an update or a model: a SHA-256 tree over its bytes, checkable with nothing but hashlib.

The bytes are cut into chunks of 1024 (the last one shorter; no bytes at all are one empty chunk), and

    leaf   = SHA-256(0 || chunk)
    node   = SHA-256(1 || left || right)            an odd node moves up unchanged
    digest = SHA-256(2 || SHA-256(layout text) || length in bytes || root)

with 0, 1, 2 as 4-byte words and the length as 8 bytes, all big-endian. The shape is that of RFC 6962 (Laurie, Langley,
Kasper, Certificate Transparency, 2013); the tags are words so that a GPU can hash word-aligned messages. Bytes and
layout text come from `bofl_jax.core.layout`.
"""

from hashlib import sha256

import numpy as np

CHUNK = 1024
LEAF, NODE, DIGEST = (tag.to_bytes(4, "big") for tag in range(3))


def digest(layout_text: str, data: bytes | memoryview) -> bytes:
    """The 32-byte digest of one update or model.

    Args:
        layout_text: a line ``path shape dtype`` a leaf of the pytree.
        data: the leaves' little-endian bytes, concatenated.

    >>> digest("['w'] (2,) float32\\n", bytes(8)).hex()[:16]
    '787bab58f8ccc924'
    """
    return _digest_row(_header(layout_text, len(data)), np.frombuffer(data, np.uint8))


def digest_rows(layout_text: str, rows: np.ndarray) -> np.ndarray:
    """The digests of C updates of one layout.

    Args:
        layout_text: the layout of ONE update.
        rows: uint8[C, bytes], a row an update.

    Returns:
        uint8[C, 32], a digest a row.
    """
    header = _header(layout_text, rows.shape[1])
    return np.frombuffer(b"".join(_digest_row(header, row) for row in rows), np.uint8).reshape(len(rows), 32)


def _header(layout_text: str, length: int) -> bytes:
    return DIGEST + sha256(layout_text.encode()).digest() + length.to_bytes(8, "big")


def _digest_row(header: bytes, row: np.ndarray) -> bytes:
    return sha256(header + _root(_leaf_hashes(row))).digest()


def _leaf_hashes(row: np.ndarray) -> list[bytes]:
    """One message a chunk, tag in front, laid out in one buffer: half the time of concatenating chunk by chunk."""
    whole = len(row) // CHUNK
    messages = np.zeros((whole, len(LEAF) + CHUNK), np.uint8)
    messages[:, : len(LEAF)] = np.frombuffer(LEAF, np.uint8)
    messages[:, len(LEAF) :] = row[: whole * CHUNK].reshape(whole, CHUNK)
    flat, size = messages.reshape(-1).data, messages.shape[1]
    hashes = [sha256(flat[start : start + size]).digest() for start in range(0, whole * size, size)]
    rest = row[whole * CHUNK :]
    if len(rest) or not whole:
        hashes.append(sha256(LEAF + rest.tobytes()).digest())
    return hashes


def _root(nodes: list[bytes]) -> bytes:
    while len(nodes) > 1:
        odd = nodes[-1:] if len(nodes) % 2 else []
        nodes = [sha256(NODE + nodes[i] + nodes[i + 1]).digest() for i in range(0, len(nodes) - 1, 2)] + odd
    return nodes[0]
