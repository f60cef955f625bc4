"""Merkle-Patricia proofs: an item of the trie over a block's transactions or receipts, proven by its trie nodes.

Gavin Wood, "Ethereum: a secure decentralised generalised transaction ledger", 2014, appendix D.
"""

from collections.abc import Sequence
from typing import Any

import rlp
from eth_hash.auto import keccak
from trie.exceptions import MissingTrieNode
from trie.hexary import HexaryTrie

from bofl_jax.ledger.chain.py_evm.fast_trie import trie_root_and_nodes


def prove_item(items: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The encoded trie nodes from the root down to an item.

    Args:
        items: the encoded transactions or receipts of a block.
        index: position of the item, from 0.
    """
    root, stored = trie_root_and_nodes(items)
    return _path(HexaryTrie(dict(stored), root), rlp.encode(index))


def proven_item(root: bytes, index: int, nodes: Sequence[bytes]) -> bytes:
    """The item that trie nodes prove.

    Args:
        root: 32 bytes, the root of the trie in a block header.
        index: position of the item, from 0.
        nodes: the encoded trie nodes from the root down to the item, and no others.

    Raises:
        ValueError: if the nodes prove nothing.
    """
    if index < 0:
        raise ValueError(f"there is no index {index}")
    stored = {keccak(node): node for node in nodes}
    if root not in stored:
        raise ValueError("its trie nodes do not start at the root in the header")
    trie, key = HexaryTrie(dict(stored), root), rlp.encode(index)
    try:
        value, path = bytes(trie[key]), _path(trie, key)
    except MissingTrieNode:
        value, path = b"", ()
    if value == b"" or path != tuple(nodes):
        raise ValueError(f"its trie nodes do not lead to index {index}")
    return value


def _path(trie: Any, key: bytes) -> tuple[bytes, ...]:
    return tuple(rlp.encode(node) for node in trie.get_proof(key))
