"""The leaf file: one record per finalised round with the leaves of its Merkle tree, so that every proof can be rebuilt.

Each record is an RLP list ``[round, root, cohort, clients, leaves]``: the number of the round on the chain, the 32-byte
root, the indices of the invited and of the contributing clients as big-endian u32, and the 69 hashed bytes of every
leaf. Record k belongs to global model k.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rlp
from rlp.codec import length_prefix

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.merkle import LEAF_DTYPE
from bofl_jax.ledger.storage.block_log import append_record, read_records, truncate_file


class RoundLeaves(NamedTuple):
    """The record of one round, with a cohort of M clients of which N contributed.

    Attributes:
        round: number of the round on the chain.
        root: 32 bytes, the root of the Merkle tree.
        cohort: int[M], indices of the invited clients.
        clients: int[N], indices of the contributing clients, one per leaf.
        leaves: ``LEAF_DTYPE[N]``, in the order of the tree.
    """

    round: int
    root: bytes
    cohort: np.ndarray
    clients: np.ndarray
    leaves: np.ndarray


def append_leaves(path: Path, record: RoundLeaves) -> None:
    """Append the record of a round and flush it to the disk.

    Args:
        path: the leaf file.
        record: the round's leaves.
    """
    append_record(path, _encode(record))


def read_leaves(path: Path) -> list[RoundLeaves]:
    """All records of a leaf file.

    Raises:
        VerificationError: if the file is missing or a record differs, in any byte, from what `append_leaves` writes.
    """
    return [record for record, _ in _records(path)]


def truncate_leaves(path: Path, rounds: int) -> None:
    """Truncate the file to its first records; the bytes behind them, left by a crash, need not be a whole record.

    Args:
        path: the leaf file.
        rounds: number of records to keep.

    Raises:
        VerificationError: if the file has fewer records or one of them is damaged.
    """
    size, records = 0, _records(path)
    for number in range(rounds):
        found = next(records, None)
        if found is None:
            raise VerificationError(f"{path.name} has {number} rounds, not {rounds}")
        size += found[1]
    truncate_file(path, size)


def _records(path: Path) -> Iterator[tuple[RoundLeaves, int]]:
    for number, raw in enumerate(read_records(path, "record"), 1):
        try:
            record = _decode(raw)
            same = _encode(record) == raw
        except (ValueError, TypeError, rlp.DecodingError) as error:
            raise VerificationError(f"{path.name}, record {number} cannot be read: {error}") from error
        if not same:
            raise VerificationError(f"{path.name}, record {number} was changed: it is not as a run writes it")
        yield record, len(raw)


def _encode(record: RoundLeaves) -> bytes:
    """The same bytes as ``rlp.encode``, which would copy a large record three times."""
    items = [rlp.encode(record.round), rlp.encode(record.root)]
    for part in (record.cohort.astype(">u4"), record.clients.astype(">u4"), np.ascontiguousarray(record.leaves)):
        items += [length_prefix(part.nbytes, 128), part.data]
    return b"".join([length_prefix(sum(memoryview(item).nbytes for item in items), 192), *items])


def _decode(raw: bytes) -> RoundLeaves:
    number, root, cohort, clients, leaves = rlp.decode(raw)
    invited, contributing = (np.frombuffer(part, ">u4").astype(np.int64) for part in (cohort, clients))
    return RoundLeaves(int.from_bytes(number, "big"), root, invited, contributing, np.frombuffer(leaves, LEAF_DTYPE))
