"""Canonical bytes of a pytree of arrays: what is hashed when an update or a model is digested."""

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


def stacked_canonical_bytes(tree: Any) -> tuple[str, np.ndarray]:
    """The same for a pytree whose leaves carry a leading client axis.

    Args:
        tree: pytree of arrays ``[C, ...]``.

    Returns:
        The layout text of ONE client's tree and ``uint8[C, bytes]``, a row a client.
    """
    leaves = sorted(((jax.tree_util.keystr(p), np.asarray(leaf)) for p, leaf in _paths(tree)), key=lambda pair: pair[0])
    text = "".join(f"{path} {leaf.shape[1:]} {leaf.dtype.name}\n" for path, leaf in leaves)
    rows = [np.frombuffer(_little_endian(leaf), np.uint8).reshape(len(leaf), -1) for _, leaf in leaves]
    return text, np.concatenate(rows, axis=1)


def _paths(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def _little_endian(leaf: np.ndarray) -> bytes:
    return np.ascontiguousarray(leaf, dtype=leaf.dtype.newbyteorder("<")).tobytes()
