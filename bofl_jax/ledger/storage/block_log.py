"""Append-only files of RLP lists, which delimit themselves: the block log and the leaf file."""

import os
from collections.abc import Iterator
from pathlib import Path

from bofl_jax.core.errors import VerificationError

LONG_LIST = 0xF7  # an RLP list of 56 bytes or more starts with 0xf7 + the number of bytes of its length
FIRST_LIST = 0xC0


def append_record(path: Path, raw: bytes) -> None:
    """Add a record; on return it is on the disk."""
    with path.open("ab") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def read_records(path: Path, name: str) -> Iterator[bytes]:
    """The records of a file, one after the other.

    Args:
        path: the file.
        name: what a record is called in an error.

    Raises:
        VerificationError: where the file is missing, or a record does not start as one or ends early.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VerificationError(f"{path.name} cannot be read ({error.strerror}): restore it from a copy") from error
    start, number = 0, 1
    while start < len(data):
        length = _record_length(data[start : start + 9])
        if not length:
            raise VerificationError(f"{path.name}: {name} {number} does not start as an RLP list")
        if start + length > len(data):
            raise VerificationError(f"{path.name} ends inside {name} {number}")
        yield data[start : start + length]
        start, number = start + length, number + 1


def read_blocks(path: Path) -> Iterator[bytes]:
    """The blocks of a block log; raises as `read_records` does."""
    return read_records(path, "block")


def cut_file(path: Path, size: int) -> None:
    """Cut a file down to its first ``size`` bytes, on the disk."""
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _record_length(head: bytes) -> int:
    """How long the record is that starts so; 0 if none does."""
    if head[0] < FIRST_LIST:
        return 0
    if head[0] <= LONG_LIST:
        return 1 + head[0] - FIRST_LIST
    width = head[0] - LONG_LIST
    return 1 + width + int.from_bytes(head[1 : 1 + width], "big")
