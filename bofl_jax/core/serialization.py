"""Canonical bytes of a pytree of arrays: what is hashed when an update or a model is digested."""

import math
from typing import Any

import jax
import numpy as np


def canonical_bytes(tree: Any) -> tuple[str, bytes]:
    """Lay a pytree of arrays out as text and bytes, the same on every machine.

    Args:
        tree: pytree of arrays. Leaves are taken in path order.

    Returns:
        The layout text (a line ``path shape dtype`` a leaf) and the leaves' little-endian C-order bytes, concatenated.

    >>> canonical_bytes({"b": np.zeros((2, 1), np.float32), "a": np.int32(1)})
    ("['a'] () int32\\n['b'] (2, 1) float32\\n", b'\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00')
    """
    text, leaves = layout_of(jax.tree.map(np.asarray, tree))
    return text, b"".join(map(_little_endian, leaves))


def layout_of(tree: Any) -> tuple[str, list[Any]]:
    """The layout text of a pytree of arrays and its leaves in that order, inside a JAX program too."""
    leaves = sorted(((jax.tree_util.keystr(p), leaf) for p, leaf in _paths(tree)), key=lambda pair: pair[0])
    return "".join(f"{path} {leaf.shape} {leaf.dtype.name}\n" for path, leaf in leaves), [leaf for _, leaf in leaves]


def stacked_canonical_bytes(tree: Any) -> tuple[str, list[np.ndarray]]:
    """The same for a pytree whose leaves carry a leading client axis.

    Args:
        tree: pytree of arrays ``[C, ...]``.

    Returns:
        The layout text of ONE client's tree, and ``uint8[C, bytes]`` of every leaf in that order, not copied where the
        machine is little-endian: a client's bytes are its rows, one after the other.
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
