"""Requests for synthetic samples in a run directory: a line each, and a file for each batch that is used.

A batch's digest is that of its file's bytes, so that anyone can check it with nothing but `hashlib`, and no byte of it
can change unseen.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.digest import digest
from bofl_jax.core.parsing import parse_json

FOLDER, LINES = "synthetic", "synthesis.jsonl"
LAYOUT = "synthetic batch, npz\n"


def save_batch(directory: Path, request: int, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write the batch of a request; returns its 32-byte digest, to be logged.

    Args:
        directory: the run directory.
        request: number of the request on the ledger.
        arrays: what the batch holds: ``x`` [n, T, L], ``features`` [n, F], ``y`` [n].
    """
    path = path_of(directory, request)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, allow_pickle=False, **arrays)
    partial.replace(path)
    return digest_of(path)


def discard_batches(directory: Path) -> None:
    """Remove the batches of a run that was cut off before its first checkpoint; they are made again."""
    (directory / LINES).unlink(missing_ok=True)
    if (directory / FOLDER).exists():
        shutil.rmtree(directory / FOLDER)


def path_of(directory: Path, request: int) -> Path:
    """Where the batch of a request lies."""
    return directory / FOLDER / f"{request:06d}.npz"


def digest_of(path: Path) -> bytes:
    """32 bytes: the digest of a batch's file."""
    return digest(LAYOUT, path.read_bytes())


def read_lines(directory: Path) -> list[dict[str, Any]]:
    """What ``synthesis.jsonl`` says, a line for each request in the order of their numbers; none without the file.

    Raises:
        ValueError: if a line is damaged.
    """
    path = directory / LINES
    return [parse_json(line) for line in path.read_text().splitlines()] if path.exists() else []


def tally(lines: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """What became of a run's requests and of the samples that were asked for; None where there was no request."""
    if not lines:
        return None
    return {
        "requests": len(lines),
        "rejected": sum(line["state"] == "rejected" for line in lines),
        "unused": sum(line["state"] == "approved" and not line["used"] for line in lines),
        "asked": sum(line["amount"] for line in lines),
        "used": sum(line["used"] for line in lines),
    }
