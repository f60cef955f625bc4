"""The round's tree over clients, which the contract verifies.

    leaf = SHA-256(0x00 || round u32 || client 20 bytes || update digest 32 bytes || samples u32 || metric i64)
    node = SHA-256(0x01 || left || right)

big-endian. The tree is complete: the padding leaf, which fills it up to the next power of two, stands there as a hash
of 32 zero bytes. Nobody knows a leaf that hashes to zero, and the contract refuses an index beyond the real count, so
padding proves nothing. A proof has exactly ceil(log2(count)) words, which together with the two prefixes keeps inner
nodes from passing for leaves.

Many leaves are an array of ``ROW``, whose 69 bytes a leaf are the very message that is hashed.
"""

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np

PADDING = bytes(32)
ROW = np.dtype(
    [
        ("tag", "u1"),
        ("round", ">u4"),
        ("client", "V20"),
        ("update_digest", "V32"),
        ("samples", ">u4"),
        ("metric", ">i8"),
    ]
)
_LEAF = struct.Struct(">BI20s32sIq")


class Leaf(NamedTuple):
    """One client's contribution to a round.

    Attributes:
        round: number of the round, u32.
        client: 20 bytes, the client's address.
        update_digest: 32 bytes.
        samples: training examples used, u32.
        metric: training loss in millionths, i64.
    """

    round: int
    client: bytes
    update_digest: bytes
    samples: int
    metric: int


def rows(round: int, clients: np.ndarray, digests: np.ndarray, samples: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """``ROW[n]``: the leaves of n updates.

    Args:
        round: number of the round.
        clients: uint8[n, 20], addresses.
        digests: uint8[n, 32], digests of the updates.
        samples: int[n], within u32.
        metric: int[n], within i64.
    """
    packed = np.zeros(len(samples), ROW)
    packed["round"], packed["samples"], packed["metric"] = round, samples, metric
    packed["client"] = np.ascontiguousarray(clients, np.uint8).view("V20").reshape(-1)
    packed["update_digest"] = np.ascontiguousarray(digests, np.uint8).view("V32").reshape(-1)
    return packed


def leaf_at(packed: np.ndarray, index: int) -> Leaf:
    """Leaf number ``index`` of an array of ``ROW``."""
    return Leaf(*_LEAF.unpack(packed[index].tobytes())[1:])


def leaf_hash(leaf: Leaf) -> bytes:
    """32 bytes. Raises ValueError where a field does not fit."""
    return sha256(_message(leaf)).digest()


def depth(count: int) -> int:
    """ceil(log2(count)): the length of every proof in a tree of ``count`` leaves.

    >>> [depth(count) for count in (1, 2, 3, 4, 5, 1000)]
    [0, 1, 2, 2, 3, 10]
    """
    return (count - 1).bit_length()


def levels(leaves: np.ndarray | Sequence[Leaf]) -> list[list[bytes]]:
    """All levels of the tree, from the padded leaf hashes up to the root. At least one leaf."""
    if not len(leaves):
        raise ValueError("a tree needs at least one leaf")
    messages = leaves.tobytes() if isinstance(leaves, np.ndarray) else b"".join(map(_message, leaves))
    nodes = [sha256(messages[start : start + ROW.itemsize]).digest() for start in range(0, len(messages), ROW.itemsize)]
    nodes += [PADDING] * ((1 << depth(len(leaves))) - len(leaves))
    tree = [nodes]
    while len(nodes) > 1:
        nodes = [_node(nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
        tree.append(nodes)
    return tree


def root(leaves: np.ndarray | Sequence[Leaf]) -> bytes:
    """The 32 bytes that are committed on chain; all zero for a round without a leaf."""
    return levels(leaves)[-1][0] if len(leaves) else bytes(32)


def proof(tree: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """The sibling hashes from leaf ``index`` up to the root, given the tree's `levels`."""
    return [level[index >> height ^ 1] for height, level in enumerate(tree[:-1])]


def verify(root: bytes, count: int, index: int, leaf: Leaf, proof: Sequence[bytes]) -> bool:
    """Does ``leaf`` stand at ``index`` under ``root``? The same checks as the contract's, on any input."""
    if not 0 <= index < count or len(proof) != depth(count):
        return False
    node = leaf_hash(leaf)
    for sibling in proof:
        node = _node(sibling, node) if index & 1 else _node(node, sibling)
        index >>= 1
    return node == root


def _message(leaf: Leaf) -> bytes:
    if len(leaf.client) != 20 or len(leaf.update_digest) != 32:
        raise ValueError("a leaf needs a 20-byte client address and a 32-byte update digest")
    try:
        return _LEAF.pack(0, *leaf)
    except struct.error as error:
        raise ValueError(
            f"a leaf's round and samples are 32-bit, its metric a signed 64-bit integer: {error}"
        ) from error


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
