"""Requests for synthetic samples: ``synthesis.jsonl``, and a file ``synthetic/NUMBER.npz`` for each batch that is used.

The audit compares the class, the amount, the state, the reason and the use of every request with the chain. The chain
holds the digest of each batch, which is that of its file's bytes: anyone can check it with nothing but `hashlib`.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NotRequired, TypedDict

import numpy as np

from bofl_jax.core.digest import digest
from bofl_jax.results.reading import FIX_RUN, load_arrays, load_json_lines, read_file
from bofl_jax.results.records import ArrayType, Evidence, check_record
from bofl_jax.results.writing import write_json_lines

REQUESTS_FILE, BATCH_FOLDER = "synthesis.jsonl", "synthetic"
BATCH_LAYOUT = "synthetic batch, npz\n"

RequestOutcome = TypedDict(
    "RequestOutcome",
    {
        "class": Annotated[str, Evidence.NONE],  # name
        "amount": Annotated[int, Evidence.CHAIN],  # samples
        "state": Annotated[str, Evidence.CHAIN],  # "pending", "approved" or "rejected"
        "used": Annotated[int, Evidence.CHAIN],  # samples
        "failed": NotRequired[Annotated[list[str], Evidence.NONE]],  # quality gates, or "validation"
    },
)
"""The keys of a line of ``synthesis.jsonl`` that figures show."""


class RequestRecord(RequestOutcome):
    """One line of ``synthesis.jsonl``."""

    request: Annotated[int, Evidence.CHAIN]  # number on the ledger
    client: Annotated[int, Evidence.NONE]  # index
    label: Annotated[int, Evidence.CHAIN]  # index of the class
    reason: Annotated[str, Evidence.CHAIN]  # of a rejection, else ""
    refunded: NotRequired[Annotated[int, Evidence.NONE]]  # samples that count against no quota
    source: NotRequired[Annotated[str, Evidence.NONE]]  # generator
    scores: NotRequired[Annotated[dict[str, float | None], Evidence.NONE]]  # by quality gate
    why: NotRequired[Annotated[str, Evidence.NONE]]  # why no score could be computed


BATCH_ARRAYS = {
    "x": ArrayType("float32", "NTL"),
    "features": ArrayType("float32", "NF"),
    "y": ArrayType("int32", "N"),
    "request": ArrayType("int64", "", required=False),
}
"""A batch of N samples of T time samples and L leads, with F features."""


@dataclass(frozen=True)
class Request:
    """A request as figures show it: what a client asked for, and the outcome."""

    label: str  # name of the class
    amount: int
    state: str
    used: int
    failed: tuple[str, ...]  # quality gates, or "validation"


class RequestTotals(TypedDict):
    """Outcome of all requests of a run."""

    requests: int
    rejected: int
    unused: int  # approved requests of which no sample is used
    asked: int  # samples
    used: int  # samples


def write_requests(directory: Path, records: Sequence[RequestRecord]) -> None:
    """Write a line for each request, in the order of their numbers."""
    write_json_lines(directory / REQUESTS_FILE, records)


def read_requests(directory: Path) -> list[RequestRecord]:
    """Read the requests of a run, in the order of their numbers; none where there is no file.

    Raises:
        BoflError: if the file is damaged.
    """
    path = directory / REQUESTS_FILE
    return read_file(path, _records, FIX_RUN) if path.exists() else []


def read_request_outcomes(directory: Path) -> tuple[Request, ...]:
    """Read what figures show of a run's requests; none where there is no file.

    Raises:
        BoflError: if the file is damaged.
    """
    path = directory / REQUESTS_FILE
    return read_file(path, _outcomes, FIX_RUN) if path.exists() else ()


def _records(path: Path) -> list[RequestRecord]:
    return [check_record(line, RequestRecord) for line in load_json_lines(path)]


def _outcomes(path: Path) -> tuple[Request, ...]:
    records = [check_record(line, RequestOutcome) for line in load_json_lines(path)]
    return tuple(
        Request(one["class"], one["amount"], one["state"], one["used"], tuple(one.get("failed", ()))) for one in records
    )


def request_totals(records: Sequence[RequestRecord]) -> RequestTotals | None:
    """Count the outcomes of requests; None where there was no request."""
    if not records:
        return None
    return {
        "requests": len(records),
        "rejected": sum(record["state"] == "rejected" for record in records),
        "unused": sum(record["state"] == "approved" and not record["used"] for record in records),
        "asked": sum(record["amount"] for record in records),
        "used": sum(record["used"] for record in records),
    }


def write_batch(directory: Path, request: int, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write the batch of a request.

    Args:
        directory: the run directory.
        request: number of the request on the ledger.
        arrays: of the types of `BATCH_ARRAYS`.

    Returns:
        The 32-byte digest of the file, to be logged on the ledger.
    """
    path = batch_path(directory, request)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, allow_pickle=False, **arrays)
    partial.replace(path)
    return batch_digest(path)


def read_batch(directory: Path, request: int, how_to_fix: str = FIX_RUN) -> dict[str, np.ndarray]:
    """Read the batch of a request.

    Args:
        directory: the run directory.
        request: number of the request on the ledger.
        how_to_fix: the end of the error's line.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    return read_file(batch_path(directory, request), lambda path: load_arrays(path, BATCH_ARRAYS), how_to_fix)


def batch_path(directory: Path, request: int) -> Path:
    """The file of the batch of a request."""
    return directory / BATCH_FOLDER / f"{request:06d}.npz"


def batch_digest(path: Path) -> bytes:
    """The 32-byte digest of a batch's file."""
    return digest(BATCH_LAYOUT, path.read_bytes())


def delete_requests(directory: Path) -> None:
    """Remove the requests and batches of a run that was cut off before its first checkpoint; they are made again."""
    (directory / REQUESTS_FILE).unlink(missing_ok=True)
    if (directory / BATCH_FOLDER).exists():
        shutil.rmtree(directory / BATCH_FOLDER)
