"""The leaf file: a JSON line a round with what stands under its root, so that anyone can rebuild every proof."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.merkle import Leaf


class RoundLeaves(NamedTuple):
    """One round's line.

    Attributes:
        round: its number.
        root: 32 bytes, the root of the leaves' tree.
        cohort: the invited clients' indices.
        clients: the contributing clients' indices, one a leaf.
        leaves: the leaves in the order of the tree.
    """

    round: int
    root: bytes
    cohort: tuple[int, ...]
    clients: tuple[int, ...]
    leaves: tuple[Leaf, ...]


def totals(leaves: Sequence[Leaf]) -> tuple[int, int]:
    """What a commitment says about all contributors: their samples, and their mean metric weighted by samples."""
    samples = sum(leaf.samples for leaf in leaves)
    return samples, sum(leaf.samples * leaf.metric for leaf in leaves) // max(samples, 1)


def append_leaves(path: Path, record: RoundLeaves) -> None:
    """Add a round's line; on return it is on the disk."""
    with path.open("a") as file:
        file.write(_line(record))
        file.flush()
        os.fsync(file.fileno())


def read_leaves(path: Path) -> list[RoundLeaves]:
    """All lines.

    Raises:
        VerificationError: if the file is missing or a line is not, to the byte, one that `append_leaves` writes.
    """
    lines = _read(path).split(b"\n")
    records = [_parse(line + b"\n", number, path.name) for number, line in enumerate(lines[:-1], 1)]
    if lines[-1]:
        raise VerificationError(f"{path.name} ends inside line {len(lines)}")
    return records


def keep_leaves(path: Path, rounds: int) -> None:
    """Cut the file down to its first ``rounds`` lines; what a crash left behind them need not be whole."""
    lines = _read(path).split(b"\n")
    if len(lines) <= rounds:
        raise VerificationError(f"{path.name} has {len(lines) - 1} rounds, not {rounds}")
    kept = [line + b"\n" for line in lines[:rounds]]
    for number, line in enumerate(kept, 1):
        _parse(line, number, path.name)
    with path.open("r+b") as file:
        file.truncate(sum(map(len, kept)))
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VerificationError(f"{path.name} cannot be read ({error.strerror}): restore it from a copy") from error


def _line(record: RoundLeaves) -> str:
    """By hand, as `json.dumps` would write it without spaces: a quarter of the time, every round, for every client."""
    rows = ",".join(
        f'[{client},"0x{leaf.client.hex()}","{leaf.update_digest.hex()}",{leaf.samples},{leaf.metric}]'
        for client, leaf in zip(record.clients, record.leaves, strict=True)
    )
    cohort = ",".join(map(str, record.cohort))
    return f'{{"round":{record.round},"root":"0x{record.root.hex()}","cohort":[{cohort}],"leaves":[{rows}]}}\n'


def _parse(line: bytes, number: int, name: str) -> RoundLeaves:
    try:
        fields = json.loads(line)
        leaves = tuple(
            Leaf(number, bytes.fromhex(address[2:]), bytes.fromhex(digest), int(samples), int(metric))
            for _, address, digest, samples, metric in fields["leaves"]
        )
        clients = tuple(int(row[0]) for row in fields["leaves"])
        cohort = tuple(int(client) for client in fields["cohort"])
        record = RoundLeaves(number, bytes.fromhex(fields["root"][2:]), cohort, clients, leaves)
        same = _line(record).encode() == line
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise VerificationError(f"{name}, line {number} cannot be read: {error}") from error
    if not same:
        raise VerificationError(f"{name}, line {number} was changed: it is not as a run writes it")
    return record
