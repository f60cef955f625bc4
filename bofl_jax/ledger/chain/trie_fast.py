"""py-evm's tries and accounts with less overhead: the same roots and nodes (see `evm_speed`).

A block's transactions and receipts stand in tries that are never changed again, so these are built from their leaves
up, each node hashed once: 1 000 items in 20 ms, where one insertion after the other took 315 ms.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, cast

import rlp
from eth.abc import AccountStorageDatabaseAPI
from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from eth.db.account import AccountDB
from eth.db.batch import BatchDB
from eth.db.hash_trie import HashTrie
from eth.db.storage import AccountStorageDB, StorageLookup
from eth.rlp.accounts import Account
from eth.vm.interrupt import MissingBytecode
from eth_hash.auto import keccak
from eth_typing import Address, Hash32
from lru import LRU
from rlp.codec import encode_raw, length_prefix
from trie import HexaryTrie
from trie.constants import BLANK_NODE_HASH
from trie.utils import nodes

_Pairs = Sequence[tuple[str, bytes]]
"""Keys, as hexadecimal digits, and their values."""


def remember_nibbles() -> None:
    """Let the trie library remember how keys split into half bytes (one sixth of a round's time, asked over and over).

    The functions are pure, so others in the process that share the change notice its speed alone.
    """
    if not hasattr(nodes.decode_nibbles, "cache_info"):
        nodes.decode_nibbles = lru_cache(maxsize=1 << 13)(nodes.decode_nibbles)
        nodes.remove_nibbles_terminator = lru_cache(maxsize=1 << 13)(nodes.remove_nibbles_terminator)


class LeanTrie(HexaryTrie):
    """The library's trie, which remembers how the nodes that it wrote a moment ago are encoded and decoded."""

    __slots__ = ()

    def get_node(self, node_hash: Any) -> Any:
        if len(node_hash) != 32 or node_hash == BLANK_NODE_HASH:
            return super().get_node(node_hash)
        encoded = self.db[node_hash]
        node = _NODES.get(encoded)
        return super().get_node(node_hash) if node is None else list(node)

    def _node_to_db_mapping(self, node: Any) -> Any:
        if len(node) < 2 or list in map(type, node):
            return super()._node_to_db_mapping(node)
        return _hash_and_encoding(tuple(node)) or (node, None)


_NODES: Any = LRU(1 << 13)


@lru_cache(maxsize=1 << 13)
def _hash_and_encoding(node: tuple[bytes, ...]) -> tuple[bytes, bytes] | None:
    """None for a node of fewer than 32 bytes, which stands in its parent itself."""
    encoded = _list(*[b"\xa0" + item if len(item) == 32 else encode_raw(item) if item else b"\x80" for item in node])
    if len(encoded) < 32:
        return None
    _NODES[encoded] = node
    return keccak(encoded), encoded


def trie_root_and_nodes(items: Sequence[bytes]) -> tuple[Hash32, dict[Hash32, bytes]]:
    """What py-evm's `make_trie_root_and_nodes` gives: the root of the trie of items by their index, and its nodes."""
    if not items:
        return BLANK_ROOT_HASH, {}
    stored: dict[Hash32, bytes] = {}
    pairs = sorted((rlp.encode(index).hex(), item) for index, item in enumerate(items))
    node = _node(pairs, 0, stored)
    root = Hash32(keccak(node))
    stored[root] = node
    return root, stored


def _node(pairs: _Pairs, depth: int, stored: dict[Hash32, bytes]) -> bytes:
    """The encoded node over sorted pairs whose keys agree in their first ``depth`` digits, and none begins another.

    Ethereum's Merkle Patricia trie: Gavin Wood, "Ethereum: a secure decentralised generalised transaction ledger",
    appendix D.
    """
    first, value = pairs[0]
    if len(pairs) == 1:
        return _list(encode_raw(nodes.compute_leaf_key(_digits(first[depth:]))), encode_raw(value))
    shared = nodes.get_common_prefix_length(first, pairs[-1][0])
    if shared > depth:
        path = nodes.compute_extension_key(_digits(first[depth:shared]))
        return _list(encode_raw(path), _reference(pairs, shared, stored))
    children = [b"\x80"] * 17
    for digit, below in groupby(pairs, lambda pair: pair[0][depth]):
        children[int(digit, 16)] = _reference(list(below), depth + 1, stored)
    return _list(*children)


def _reference(pairs: _Pairs, depth: int, stored: dict[Hash32, bytes]) -> bytes:
    """How a node stands in its parent: by its hash, or itself if it is shorter than one."""
    node = _node(pairs, depth, stored)
    if len(node) < 32:
        return node
    stored[Hash32(key := keccak(node))] = node
    return b"\xa0" + key


def _list(*encoded: bytes) -> bytes:
    payload = b"".join(encoded)
    return length_prefix(len(payload), 192) + payload


def _digits(key: str) -> tuple[int, ...]:
    return tuple(int(digit, 16) for digit in key)


class _StorageLookup(StorageLookup):
    def _get_read_trie(self) -> Any:
        return self._write_trie or LeanTrie(self._db, root_hash=self._starting_root_hash)

    def _get_write_trie(self) -> Any:
        if self._trie_nodes_batch is None:
            self._trie_nodes_batch = BatchDB(self._db, read_through_deletes=True)
        if self._write_trie is None:
            self._write_trie = LeanTrie(self._trie_nodes_batch, root_hash=self._starting_root_hash, prune=True)
        return self._write_trie


class _StorageDB(AccountStorageDB):
    def __init__(self, db: Any, storage_root: Any, address: Any) -> None:
        super().__init__(db, storage_root, address)
        self._storage_lookup = self._storage_cache._db = _StorageLookup(db, storage_root, address)


class LeanAccountDB(AccountDB):
    """py-evm's accounts, they and their storage on a `LeanTrie`."""

    def __init__(self, db: Any, state_root: Any = BLANK_ROOT_HASH) -> None:
        super().__init__(db, state_root)
        self._trie = HashTrie(cast(Any, LeanTrie(self._batchtrie, state_root, prune=True)))
        self._trie_logger.wrapped_db = self._trie

    def get_code(self, address: Address) -> bytes:
        """Without py-evm's notes for a witness, which copy the set of all database keys read so far."""
        code_hash = self.get_code_hash(address)
        if code_hash == EMPTY_SHA3:
            return b""
        try:
            return self._journaldb[code_hash]
        except KeyError as error:
            raise MissingBytecode(code_hash) from error

    def set_balance(self, address: Address, balance: int) -> None:
        """Every transaction pays nothing to two accounts: no copy is made for that, and no other encoding."""
        if balance == self.get_balance(address):
            self.touch_account(address)
        else:
            super().set_balance(address, balance)

    def _set_account(self, address: Address, account: Account) -> None:
        self._account_cache[address] = account
        self._journaltrie[address] = rlp.encode(account)

    def _get_address_store(self, address: Address) -> AccountStorageDatabaseAPI:
        if address not in self._account_stores:
            self._account_stores[address] = _StorageDB(self._raw_store_db, self._get_storage_root(address), address)
        return self._account_stores[address]
