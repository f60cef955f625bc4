"""Compares the requests for synthetic samples of a run directory with the events of its chain."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.contract.artefact import ENUMS, LogEvent
from bofl_jax.results.requests import FOLDER, LINES, digest_of, path_of, read_lines


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
