"""Requests for synthetic samples in a run directory: a line each, and a file for each batch that is used.

A batch's digest is that of its file's bytes, so that anyone can check it with nothing but `hashlib`, and no byte of it
can change unseen.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.errors import VerificationError
from bofl_jax.core.parsing import parse_json
from bofl_jax.ledger import digest
from bofl_jax.ledger.base import LogEvent
from bofl_jax.ledger.contract import ENUMS

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


def check_requests(directory: Path, told: Sequence[LogEvent]) -> list[dict[str, Any]]:
    """Hold the lines of ``synthesis.jsonl`` against the ledger's events; returns the lines.

    Raises:
        VerificationError: if they are missing or damaged, or say something else than the ledger.
    """
    try:
        lines = read_lines(directory)
        stated = {line["request"]: _stated(line) for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{directory / LINES} is damaged ({error})") from None
    true = _requests(told)
    if list(stated) != list(true):
        raise VerificationError(f"{directory / LINES} holds {len(stated)} requests, the ledger {len(true)}")
    for request, entry in true.items():
        if stated[request] != entry:
            raise VerificationError(f"{directory / LINES}, request {request}: the ledger says something else")
    return lines


def _stated(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("label", "amount", "state", "reason", "used")}


def _requests(told: Sequence[LogEvent]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for event in told:
        args = event.args
        match event.name:
            case "SyntheticRequested":
                found[args["request"]] = {"label": args["class"], "amount": args["amount"], "state": "pending"}
                found[args["request"]] |= {"reason": "", "used": 0}
            case "SyntheticApproved":
                found[args["request"]]["state"] = "approved"
            case "SyntheticRejected":
                found[args["request"]] |= {"state": "rejected", "reason": ENUMS["Rejection"][args["reason"]]}
            case "SyntheticLogged":
                found[args["request"]]["used"] = args["used"]
    return found


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
