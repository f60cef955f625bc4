"""The block log: an append-only file of blocks, each an RLP record, so that the file delimits itself."""

import os
from collections.abc import Iterator
from pathlib import Path

from bofl_jax.core.errors import VerificationError

LONG_LIST = 0xF7  # an RLP list of 56 bytes or more starts with 0xf7 + the number of bytes of its length
FIRST_LIST = 0xC0


def append_block(path: Path, raw: bytes) -> None:
    """Add a block; on return it is on the disk."""
    with path.open("ab") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def read_blocks(path: Path) -> Iterator[bytes]:
    """The blocks of a log, one after the other.

    Raises:
        VerificationError: where the file is missing, or a record does not start as one or ends early.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VerificationError(f"{path.name} cannot be read ({error.strerror}): restore it from a copy") from error
    start, number = 0, 1
    while start < len(data):
        end = start + _record_length(data[start : start + 9], number)
        if end > len(data):
            raise VerificationError(f"the block log ends inside block {number}")
        yield data[start:end]
        start, number = end, number + 1


def cut_log(path: Path, size: int) -> None:
    """Cut the log down to its first ``size`` bytes, on the disk."""
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _record_length(head: bytes, number: int) -> int:
    if head[0] < FIRST_LIST:
        raise VerificationError(f"block {number} does not start as an RLP list")
    if head[0] <= LONG_LIST:
        return 1 + head[0] - FIRST_LIST
    width = head[0] - LONG_LIST
    return 1 + width + int.from_bytes(head[1 : 1 + width], "big")
