"""py-evm's tries and accounts with less overhead: the same roots and nodes (see `fast_vm`).

The tries of a block's transactions and receipts never change. They are therefore built from the leaves up, and each
node is hashed once: 1 000 items take 20 ms, while inserting one item after the other takes 315 ms.
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
from trie.constants import BLANK_NODE_HASH
from trie.hexary import HexaryTrie
from trie.utils import nodes

_Pairs = Sequence[tuple[str, bytes]]
"""Keys as hexadecimal digits, with their values."""


def cache_nibbles() -> None:
    """Cache how the trie library splits keys into nibbles, which took one sixth of a round's time.

    The functions are pure, so for other users of the library in this process only the speed changes.
    """
    if not hasattr(vars(nodes)["decode_nibbles"], "cache_info"):
        for name in ("decode_nibbles", "remove_nibbles_terminator"):
            setattr(nodes, name, lru_cache(maxsize=1 << 13)(getattr(nodes, name)))


_HexaryTrie: Any = HexaryTrie  # the methods of the library have no types


class FastTrie(HexaryTrie):
    """The library's trie with a cache of the encodings of recently written nodes."""

    __slots__ = ()

    def get_node(self, node_hash: Any) -> Any:
        """The decoded node with this hash."""
        if len(node_hash) != 32 or node_hash == BLANK_NODE_HASH:
            return _HexaryTrie.get_node(self, node_hash)
        encoded = self.db[node_hash]
        node = _NODES.get(encoded)
        return _HexaryTrie.get_node(self, node_hash) if node is None else list(node)

    def _node_to_db_mapping(self, node: Any) -> Any:
        if len(node) < 2 or list in map(type, node):
            return _HexaryTrie._node_to_db_mapping(self, node)
        return _hash_and_encoding(tuple(node)) or (node, None)


_NODES: Any = LRU(1 << 13)


@lru_cache(maxsize=1 << 13)
def _hash_and_encoding(node: tuple[bytes, ...]) -> tuple[bytes, bytes] | None:
    """None for a node of fewer than 32 bytes, which its parent contains directly."""
    encoded = _rlp_list(*map(_rlp_string, node))
    if len(encoded) < 32:
        return None
    _NODES[encoded] = node
    return keccak(encoded), encoded


def trie_root_and_nodes(items: Sequence[bytes]) -> tuple[Hash32, dict[Hash32, bytes]]:
    """The root of the trie of items by their index, and its nodes by hash, as `eth.db.trie` computes them."""
    if not items:
        return BLANK_ROOT_HASH, {}
    stored: dict[Hash32, bytes] = {}
    pairs = sorted((rlp.encode(index).hex(), item) for index, item in enumerate(items))
    node = _node(pairs, 0, stored)
    root = Hash32(keccak(node))
    stored[root] = node
    return root, stored


def _node(pairs: _Pairs, depth: int, stored: dict[Hash32, bytes]) -> bytes:
    """The encoded node over sorted pairs whose keys share their first ``depth`` digits; no key is a prefix of another.

    Ethereum's Merkle-Patricia trie: Gavin Wood, "Ethereum: a secure decentralised generalised transaction ledger",
    2014, appendix D.
    """
    first, value = pairs[0]
    if len(pairs) == 1:
        return _rlp_list(encode_raw(nodes.compute_leaf_key(_nibbles(first[depth:]))), encode_raw(value))
    shared = nodes.get_common_prefix_length(first, pairs[-1][0])
    if shared > depth:
        path = nodes.compute_extension_key(_nibbles(first[depth:shared]))
        return _rlp_list(encode_raw(path), _reference(pairs, shared, stored))
    children = [b"\x80"] * 17
    for digit, group in groupby(pairs, lambda pair: pair[0][depth]):
        children[int(digit, 16)] = _reference(list(group), depth + 1, stored)
    return _rlp_list(*children)


def _reference(pairs: _Pairs, depth: int, stored: dict[Hash32, bytes]) -> bytes:
    """A node as its parent contains it: its hash, or the node itself if it is shorter than a hash."""
    node = _node(pairs, depth, stored)
    if len(node) < 32:
        return node
    stored[Hash32(key := keccak(node))] = node
    return b"\xa0" + key


def _rlp_list(*encoded: bytes) -> bytes:
    payload = b"".join(encoded)
    return bytes(length_prefix(len(payload), 192) + payload)


def _rlp_string(item: bytes) -> bytes:
    if len(item) == 32:
        return b"\xa0" + item
    return bytes(encode_raw(item)) if item else b"\x80"


def _nibbles(key: str) -> tuple[int, ...]:
    return tuple(int(digit, 16) for digit in key)


class _StorageLookup(StorageLookup):
    def _get_read_trie(self) -> Any:
        return self._write_trie or FastTrie(self._db, root_hash=self._starting_root_hash)

    def _get_write_trie(self) -> Any:
        if self._trie_nodes_batch is None:
            self._trie_nodes_batch = BatchDB(self._db, read_through_deletes=True)
        if self._write_trie is None:
            self._write_trie = FastTrie(self._trie_nodes_batch, root_hash=self._starting_root_hash, prune=True)
        return self._write_trie


class _StorageDB(AccountStorageDB):
    def __init__(self, db: Any, storage_root: Any, address: Any) -> None:
        super().__init__(db, storage_root, address)
        self._storage_lookup = self._storage_cache._db = _StorageLookup(db, storage_root, address)


class FastAccountDB(AccountDB):
    """py-evm's account database, with accounts and storage in a `FastTrie`."""

    def __init__(self, db: Any, state_root: Any = BLANK_ROOT_HASH) -> None:
        super().__init__(db, state_root)
        self._trie = HashTrie(cast(Any, FastTrie(self._batchtrie, state_root, prune=True)))
        self._trie_logger.wrapped_db = self._trie

    def get_code(self, address: Address) -> bytes:
        """The code of an account; py-evm also copies the set of all keys read so far, for a witness."""
        code_hash = self.get_code_hash(address)
        if code_hash == EMPTY_SHA3:
            return b""
        try:
            return self._journaldb[code_hash]
        except KeyError as error:
            raise MissingBytecode(code_hash) from error

    def set_balance(self, address: Address, balance: int) -> None:
        """Set a balance. A transaction without fees sets two balances to their old value, which changes nothing."""
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
