"""The Merkle tree over the clients' updates of one round, which the contract verifies.

    leaf = SHA-256(0x00 || round u32 || client 20 bytes || update digest 32 bytes || samples u32 || metric i64)
    node = SHA-256(0x01 || left || right)

All numbers are big-endian. The tree is complete: padding leaves fill it up to the next power of two, and their hash is
32 zero bytes. No leaf is known to hash to zero, and the contract rejects an index beyond the real count, so padding
proves nothing. A proof has exactly ceil(log2(count)) words; together with the two prefixes this prevents an inner node
from being accepted as a leaf.

Many leaves are stored as an array of ``LEAF_DTYPE``: the 69 bytes of an entry are exactly the message that is hashed.
"""

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np

PADDING = bytes(32)
LEAF_DTYPE = np.dtype(
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
    """The contribution of one client to one round.

    Attributes:
        round: number of the round, u32.
        client: 20 bytes, the client's address.
        update_digest: 32 bytes, digest of the update.
        samples: number of training samples used, u32.
        metric: training loss in millionths, i64.
    """

    round: int
    client: bytes
    update_digest: bytes
    samples: int
    metric: int


def pack_leaves(
    round: int, clients: np.ndarray, digests: np.ndarray, samples: np.ndarray, metric: np.ndarray
) -> np.ndarray:
    """``LEAF_DTYPE[M]``: the leaves of M updates.

    Args:
        round: number of the round.
        clients: uint8[M, 20], addresses of the clients.
        digests: uint8[M, 32], digests of the updates.
        samples: int[M], within u32.
        metric: int[M], within i64.
    """
    packed = np.zeros(len(samples), LEAF_DTYPE)
    packed["round"], packed["samples"], packed["metric"] = round, samples, metric
    packed["client"] = np.ascontiguousarray(clients, np.uint8).view("V20").reshape(-1)
    packed["update_digest"] = np.ascontiguousarray(digests, np.uint8).view("V32").reshape(-1)
    return packed


def unpack_leaf(packed: np.ndarray, index: int) -> Leaf:
    """The leaf at position ``index`` of an array of ``LEAF_DTYPE``."""
    return Leaf(*_LEAF.unpack(packed[index].tobytes())[1:])


def leaf_hash(leaf: Leaf) -> bytes:
    """The 32-byte hash of a leaf. Raises ValueError if a field is out of range."""
    return sha256(_message(leaf)).digest()


def totals(leaves: np.ndarray) -> tuple[int, int]:
    """Total samples and sample-weighted mean metric of ``LEAF_DTYPE[M]``, as a round's commitment states them."""
    samples, metric = leaves["samples"].astype(np.int64), leaves["metric"].astype(np.int64)
    total, largest = int(samples.sum()), max(abs(int(metric.max(initial=0))), abs(int(metric.min(initial=0))))
    exact = np.int64 if total * largest < 1 << 63 else object
    return total, int(samples.astype(exact) @ metric.astype(exact)) // max(total, 1)


def depth(count: int) -> int:
    """ceil(log2(count)): the length of every proof in a tree of ``count`` leaves.

    >>> [depth(count) for count in (1, 2, 3, 4, 5, 1000)]
    [0, 1, 2, 2, 3, 10]
    """
    return (count - 1).bit_length()


def levels(leaves: np.ndarray | Sequence[Leaf]) -> list[list[bytes]]:
    """All levels of the tree, from the padded leaf hashes to the root. Raises ValueError if there is no leaf."""
    if not len(leaves):
        raise ValueError("a Merkle tree needs at least one leaf")
    messages = leaves.tobytes() if isinstance(leaves, np.ndarray) else b"".join(map(_message, leaves))
    size = LEAF_DTYPE.itemsize
    nodes = [sha256(messages[start : start + size]).digest() for start in range(0, len(messages), size)]
    nodes += [PADDING] * ((1 << depth(len(leaves))) - len(leaves))
    tree = [nodes]
    while len(nodes) > 1:
        nodes = [_node(nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
        tree.append(nodes)
    return tree


def root(leaves: np.ndarray | Sequence[Leaf]) -> bytes:
    """The 32-byte root that is committed on the chain; all zeros for a round without leaves."""
    return levels(leaves)[-1][0] if len(leaves) else bytes(32)


def proof(tree: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """The sibling hashes from the leaf at ``index`` up to the root.

    Args:
        tree: all levels of the tree, as returned by `levels`.
        index: position of the leaf, from 0.
    """
    return [level[index >> height ^ 1] for height, level in enumerate(tree[:-1])]


def verify(root: bytes, count: int, index: int, leaf: Leaf, proof: Sequence[bytes]) -> bool:
    """Whether ``leaf`` is at position ``index`` under ``root``. Makes the same checks as the contract.

    Args:
        root: 32 bytes, the committed root.
        count: number of leaves without padding.
        index: position of the leaf, from 0.
        leaf: the contribution.
        proof: sibling hashes from the leaf up to the root.
    """
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
