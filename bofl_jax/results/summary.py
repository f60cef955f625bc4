"""``summary.json``: what a completed run measured and what it cost. It is written last.

The results digest holds ``test`` and ``fairness``. The audit compares the costs of the ledger, the requests for
synthetic samples and ``config_sha256`` with the chain, and computes ``safety`` again from the predictions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

from bofl_jax.results.reading import FIX_RUN, load_json, read_file
from bofl_jax.results.records import Evidence, check_record, require_keys
from bofl_jax.results.requests import RequestTotals
from bofl_jax.results.rounds import RoundRecord
from bofl_jax.results.writing import json_text, write_text

SUMMARY_FILE = "summary.json"


class ClassMetrics(TypedDict):
    """Metrics of one class; other metrics may stand beside them."""

    recall: float | None
    precision: float | None
    support: int  # true samples of the class


class LedgerSummary(TypedDict):
    """What all rounds together cost on the ledger."""

    mode: str
    rounds: int  # 0 without a ledger
    gas_total: int
    gas_per_round: float
    bytes_total: int
    cpu_ms_per_round: Annotated[float, Evidence.NONE]
    accepted: int  # updates
    rejected: int  # updates
    head_hash: str  # of the chain's last block; "" without a ledger


class Timing(TypedDict):
    """How long a run took."""

    compile_s: float
    rounds_s: float
    samples_per_s: float  # training samples


class SummaryRecord(TypedDict):
    """Content of ``summary.json``."""

    test: Annotated[dict[str, dict[str, Any] | None], Evidence.DIGEST]  # model -> metrics, with a ClassMetrics a class
    fairness: Annotated[dict[str, dict[str, Any]], Evidence.DIGEST]  # model -> spread over clients, groups of people
    synthesis: Annotated[RequestTotals | None, Evidence.CHAIN]
    ledger: Annotated[LedgerSummary, Evidence.CHAIN]
    timing: Annotated[Timing, Evidence.NONE]
    config_sha256: Annotated[str, Evidence.CHAIN]  # hexadecimal
    safety: NotRequired[Annotated[dict[str, dict[str, Any] | None], Evidence.DERIVED]]  # absent in older runs
    explanation: NotRequired[Annotated[dict[str, Any], Evidence.NONE]]  # where samples were explained


@dataclass(frozen=True)
class Summary:
    """``summary.json`` as figures and pages show it; files of older versions may lack some of it."""

    test: dict[str, dict[str, Any]]  # model -> metrics, of the models that exist
    ledger_mode: str
    fairness: dict[str, dict[str, Any]]  # by model
    ledger: dict[str, Any]  # mode, costs
    timing: dict[str, Any] = field(default_factory=dict)
    synthesis: RequestTotals | None = None


def is_complete(directory: Path) -> bool:
    """Whether a directory holds a completed run."""
    return (directory / SUMMARY_FILE).exists()


def write_summary(directory: Path, summary: SummaryRecord) -> None:
    """Write the summary of a run, which completes it."""
    write_text(directory / SUMMARY_FILE, json_text(summary))


def read_summary_record(directory: Path) -> SummaryRecord:
    """Read the summary of a run.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    return read_file(directory / SUMMARY_FILE, lambda path: check_record(load_json(path), SummaryRecord), FIX_RUN)


def read_summary(directory: Path) -> Summary:
    """Read what figures and pages show of a summary.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    return read_file(directory / SUMMARY_FILE, _summary, FIX_RUN)


def is_as_written(directory: Path, summary: SummaryRecord) -> bool:
    """Whether the file is, to the byte, what `write_summary` writes."""
    return (directory / SUMMARY_FILE).read_bytes() == json_text(summary).encode("utf-8")


def _summary(path: Path) -> Summary:
    record = check_record(load_json(path), SummaryRecord, partial=True)
    require_keys(record, "test", "ledger.mode")
    test = {model: measured for model, measured in record["test"].items() if measured is not None}
    for model, measured in test.items():
        require_keys(measured, "per_class")
        check_record(measured["per_class"], dict[str, ClassMetrics], name=f"test.{model}.per_class")
    return Summary(
        test=test,
        ledger_mode=record["ledger"]["mode"],
        fairness=record.get("fairness") or {},
        ledger=dict(record["ledger"]),
        timing=dict(record.get("timing") or {}),
        synthesis=record.get("synthesis"),
    )


def ledger_summary(records: Sequence[RoundRecord], mode: str, head_hash: str) -> LedgerSummary:
    """Add up the costs of all rounds.

    Args:
        records: the lines of ``rounds.jsonl``, at least one.
        mode: mode of the ledger.
        head_hash: hash of the chain's last block, or "".
    """
    costs = [record["ledger"] for record in records]
    gas = sum(cost["gas"] for cost in costs)
    return {
        "mode": mode,
        "rounds": len(records) if mode != "off" else 0,
        "gas_total": gas,
        "gas_per_round": gas / len(records),
        "bytes_total": sum(cost["bytes"] for cost in costs),
        "cpu_ms_per_round": sum(cost["cpu_ms"] for cost in costs) / len(records),
        "accepted": sum(cost["accepted"] for cost in costs),
        "rejected": sum(cost["rejected"] for cost in costs),
        "head_hash": head_hash,
    }


def timing_of(records: Sequence[RoundRecord], compile_s: float) -> Timing:
    """Add up the seconds of all rounds.

    Args:
        records: the lines of ``rounds.jsonl``, at least one.
        compile_s: seconds spent on compiling.
    """
    seconds = sum(record["seconds"] for record in records)
    examples = sum(record["examples"] for record in records)
    return {"compile_s": compile_s, "rounds_s": seconds, "samples_per_s": examples / seconds}
