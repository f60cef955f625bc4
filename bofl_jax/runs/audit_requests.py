"""Checks of the requests for synthetic samples in a run directory against the events of its chain."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.contract.artefact import ENUMS, ContractEvent
from bofl_jax.results.requests import (
    BATCH_FOLDER,
    REQUESTS_FILE,
    RequestRecord,
    batch_digest,
    batch_path,
    read_requests,
)


def check_requests(directory: Path, events: Sequence[ContractEvent]) -> list[RequestRecord]:
    """Compare the lines of ``synthesis.jsonl`` with the events of the chain.

    Args:
        directory: the run directory.
        events: all events of the contract, in order.

    Returns:
        The lines.

    Raises:
        BoflError: if the file is damaged.
        VerificationError: if a line differs from the chain.
    """
    records = read_requests(directory)
    stated = {record["request"]: _stated(record) for record in records}
    true = _requests(events)
    if list(stated) != list(true) or len(records) != len(true):
        raise VerificationError(f"{directory / REQUESTS_FILE} holds {len(records)} requests, the ledger {len(true)}")
    for request, entry in true.items():
        if stated[request] != entry:
            raise VerificationError(f"{directory / REQUESTS_FILE}, request {request}: the ledger has another entry")
    return records


def _stated(record: RequestRecord) -> dict[str, Any]:
    return {
        "label": record["label"],
        "amount": record["amount"],
        "state": record["state"],
        "reason": record["reason"],
        "used": record["used"],
    }


def _requests(events: Sequence[ContractEvent]) -> dict[int, dict[str, Any]]:
    """Number of a request -> its values by the chain."""
    found: dict[int, dict[str, Any]] = {}
    for event in events:
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
    """Compare the batches of synthetic samples in a run directory with the chain.

    Args:
        directory: the run directory.
        logged: arguments of the contract's events ``SyntheticLogged``.

    Returns:
        The number of batches.

    Raises:
        VerificationError: if one is missing, was changed, or was never logged as used.
    """
    used = {batch_path(directory, entry["request"]): entry["batchDigest"] for entry in logged if entry["used"]}
    for path, expected in used.items():
        if not path.is_file():
            raise VerificationError(f"{path} is missing: the ledger says that this batch was used")
        if batch_digest(path) != expected:
            raise VerificationError(f"{path} is not the batch that was logged")
    for path in sorted((directory / BATCH_FOLDER).glob("*")):
        if path not in used:
            raise VerificationError(f"{path} was not logged as a batch that is used")
    return len(used)
