"""Canonical bytes of a pytree of arrays, over which the digest of an update or a model is computed."""

import math
from typing import Any

import jax
import numpy as np


def canonical_bytes(tree: Any) -> tuple[str, bytes]:
    r"""Serialise a pytree of arrays; the result is the same on every machine.

    Args:
        tree: pytree of arrays.

    Returns:
        The layout text (a line ``path shape dtype`` for each leaf, in path order) and the little-endian C-order bytes
        of the leaves, concatenated.

    >>> canonical_bytes({"b": np.zeros((2, 1), np.float32), "a": np.int32(1)})
    ("['a'] () int32\n['b'] (2, 1) float32\n", b'\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00')
    """
    text, leaves = layout_of(jax.tree.map(np.asarray, tree))
    return text, b"".join(map(_little_endian, leaves))


def layout_of(tree: Any) -> tuple[str, list[Any]]:
    """The layout text of a pytree of arrays, and its leaves in that order; also for traced arrays."""
    leaves = sorted(((jax.tree_util.keystr(p), leaf) for p, leaf in _paths(tree)), key=lambda pair: pair[0])
    return "".join(f"{path} {leaf.shape} {leaf.dtype.name}\n" for path, leaf in leaves), [leaf for _, leaf in leaves]


def stacked_canonical_bytes(tree: Any) -> tuple[str, list[np.ndarray]]:
    """Serialise the pytrees of C clients, stacked along a leading axis.

    Args:
        tree: pytree of arrays ``[C, ...]``.

    Returns:
        The layout text of one client's pytree, and ``uint8[C, bytes]`` for each leaf in that order. The bytes of a
        client are its rows, one after the other. Little-endian machines return views.
    """
    arrays = jax.tree.map(np.asarray, tree)
    text, _ = layout_of(jax.tree.map(lambda leaf: leaf[0], arrays))
    return text, [_rows(leaf) for leaf in layout_of(arrays)[1]]


def _rows(leaf: np.ndarray) -> np.ndarray:
    ordered = np.ascontiguousarray(leaf, dtype=leaf.dtype.newbyteorder("<"))
    return ordered.reshape(len(leaf), math.prod(leaf.shape[1:])).view(np.uint8)


def _paths(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def _little_endian(leaf: np.ndarray) -> bytes:
    return np.ascontiguousarray(leaf, dtype=leaf.dtype.newbyteorder("<")).tobytes()
