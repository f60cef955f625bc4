"""Append-only files of RLP lists, each of which states its own length: the block log and the leaf file."""

import os
from collections.abc import Iterator
from pathlib import Path

from bofl_jax.core.errors import VerificationError

LONG_LIST_PREFIX = 0xF7  # a list of 56 bytes or more starts with 0xf7 + the number of bytes of its length
LIST_PREFIX = 0xC0


def append_record(path: Path, raw: bytes) -> None:
    """Append a record to a file and flush it to the disk.

    Args:
        path: the file.
        raw: an RLP list.
    """
    with path.open("ab") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def read_records(path: Path, name: str) -> Iterator[bytes]:
    """The records of a file, in order.

    Args:
        path: the file.
        name: the word for a record in error messages.

    Raises:
        VerificationError: if the file is missing, a record does not start as an RLP list, or a record is incomplete.
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
    """The RLP bytes of the blocks of a block log; raises the errors of `read_records`."""
    return read_records(path, "block")


def truncate_file(path: Path, size: int) -> None:
    """Truncate a file to its first ``size`` bytes and flush it to the disk."""
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _record_length(head: bytes) -> int:
    """Length in bytes of the record that starts with ``head``; 0 if no RLP list starts like this."""
    if head[0] < LIST_PREFIX:
        return 0
    if head[0] <= LONG_LIST_PREFIX:
        return 1 + head[0] - LIST_PREFIX
    width = head[0] - LONG_LIST_PREFIX
    return 1 + width + int.from_bytes(head[1 : 1 + width], "big")
