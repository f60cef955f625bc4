"""Batches of synthetic samples in a run directory: a file each, named after the request that it was made for.

A batch's digest is that of its file's bytes, so that anyone can check it with nothing but `hashlib`, and no byte of it
can change unseen.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger import digest

FOLDER = "synthetic"
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


def path_of(directory: Path, request: int) -> Path:
    """Where the batch of a request lies."""
    return directory / FOLDER / f"{request:06d}.npz"


def digest_of(path: Path) -> bytes:
    """32 bytes: the digest of a batch's file."""
    return digest(LAYOUT, path.read_bytes())


def check_batches(directory: Path, logged: Sequence[Mapping[str, Any]]) -> int:
    """Hold the batches in a run directory against what the ledger says of them.

    Args:
        directory: the run directory.
        logged: arguments of the ledger's events ``SyntheticLogged``.

    Returns:
        How many batches there are.

    Raises:
        VerificationError: if one is missing, was changed, or was never logged as used.
    """
    used = {path_of(directory, entry["request"]): entry["batchDigest"] for entry in logged if entry["used"]}
    for path, expected in used.items():
        if not path.is_file():
            raise VerificationError(f"{path} is missing: the ledger says that this batch was used")
        if digest_of(path) != expected:
            raise VerificationError(f"{path} is not the batch that was logged")
    for path in sorted((directory / FOLDER).glob("*")):
        if path not in used:
            raise VerificationError(f"{path} was not logged as a batch that is used")
    return len(used)
