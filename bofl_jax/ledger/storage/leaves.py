"""The leaf file: a record a finalised round with what stands under its root, so that anyone can rebuild every proof.

Each record is an RLP list ``[round, root, cohort, clients, leaves]``: the round's number on the chain, 32 bytes, the
invited and the contributing clients' indices as big-endian u32, and 69 bytes a leaf as they are hashed. Record k is
about global model k.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rlp
from rlp.codec import length_prefix

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.merkle import ROW
from bofl_jax.ledger.storage.block_log import append_record, cut_file, read_records


class RoundLeaves(NamedTuple):
    """One round's record.

    Attributes:
        round: its number on the chain.
        root: 32 bytes, the root of the leaves' tree.
        cohort: int[m], the invited clients' indices.
        clients: int[n], the contributing clients' indices, one a leaf.
        leaves: ``ROW[n]``, in the order of the tree.
    """

    round: int
    root: bytes
    cohort: np.ndarray
    clients: np.ndarray
    leaves: np.ndarray


def totals(leaves: np.ndarray) -> tuple[int, int]:
    """What a commitment says about all contributors: their samples, and their mean metric weighted by samples."""
    samples, metric = leaves["samples"].astype(np.int64), leaves["metric"].astype(np.int64)
    total, largest = int(samples.sum()), max(abs(int(metric.max(initial=0))), abs(int(metric.min(initial=0))))
    exact = np.int64 if total * largest < 1 << 63 else object
    return total, int(samples.astype(exact) @ metric.astype(exact)) // max(total, 1)


def append_leaves(path: Path, record: RoundLeaves) -> None:
    """Add a round's record; on return it is on the disk."""
    append_record(path, _encode(record))


def read_leaves(path: Path) -> list[RoundLeaves]:
    """All records.

    Raises:
        VerificationError: if the file is missing or a record is not, to the byte, one that `append_leaves` writes.
    """
    return [record for record, _ in _records(path)]


def keep_leaves(path: Path, rounds: int) -> None:
    """Cut the file down to its first ``rounds`` records; what a crash left behind them need not be whole."""
    size, records = 0, _records(path)
    for number in range(rounds):
        found = next(records, None)
        if found is None:
            raise VerificationError(f"{path.name} has {number} rounds, not {rounds}")
        size += found[1]
    cut_file(path, size)


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
    """What ``rlp.encode`` gives, which copies a large record three times."""
    items = [rlp.encode(record.round), rlp.encode(record.root)]
    for part in (record.cohort.astype(">u4"), record.clients.astype(">u4"), np.ascontiguousarray(record.leaves)):
        items += [length_prefix(part.nbytes, 128), part.data]
    return b"".join([length_prefix(sum(memoryview(item).nbytes for item in items), 192), *items])


def _decode(raw: bytes) -> RoundLeaves:
    number, root, cohort, clients, leaves = rlp.decode(raw)
    invited, contributing = (np.frombuffer(part, ">u4").astype(np.int64) for part in (cohort, clients))
    return RoundLeaves(int.from_bytes(number, "big"), root, invited, contributing, np.frombuffer(leaves, ROW))
