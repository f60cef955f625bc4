"""Audit a run from its directory alone: replay the chain, then check all results that the chain vouches for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.evaluation.group_fairness import first_group_difference, groups_from_predictions
from bofl_jax.evaluation.reliability import first_difference
from bofl_jax.ledger import ChainAudit, SecondEngine, audit_chain
from bofl_jax.metrics import METRICS
from bofl_jax.results.digest import results_digest
from bofl_jax.results.predictions import MODELS, read_prediction_arrays
from bofl_jax.results.records import flatten
from bofl_jax.results.requests import RequestRecord, request_totals
from bofl_jax.results.rounds import RoundRecord, read_round_records
from bofl_jax.results.run_config import RunConfig, read_config
from bofl_jax.results.summary import (
    SummaryRecord,
    is_as_written,
    is_complete,
    ledger_summary,
    read_summary_record,
    timing_of,
)
from bofl_jax.runs.audit_requests import check_batches, check_requests
from bofl_jax.runs.checkpoint import CheckpointStore


@dataclass(frozen=True)
class AuditedRun:
    """A run directory, and its chain, which was replayed and holds. Result files are read when a check needs them."""

    directory: Path
    config: RunConfig
    chain: ChainAudit

    @property
    def rounds(self) -> int:
        """Number of rounds that the configuration asks for."""
        return self.config.require("federation.rounds", int)

    @property
    def with_requests(self) -> bool:
        """Whether clients could request synthetic samples."""
        return bool(self.config.section("synthesis").get("generator", "none") != "none")

    @property
    def options(self) -> dict[str, Any]:
        """The section ``evaluate`` of the configuration."""
        return self.config.section("evaluate")

    @cached_property
    def requests(self) -> list[RequestRecord]:
        """The requests for synthetic samples, which are those of the chain."""
        events = [indexed.event for indexed in self.chain.events]
        return check_requests(self.directory, events) if self.with_requests else []

    @cached_property
    def records(self) -> list[RoundRecord]:
        """The lines of ``rounds.jsonl``."""
        return read_round_records(self.directory)

    @cached_property
    def summary(self) -> SummaryRecord:
        """Content of ``summary.json``."""
        return read_summary_record(self.directory)

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """The arrays of ``predictions.npz``."""
        return read_prediction_arrays(self.directory)


def audit(directory: str | Path, second: SecondEngine | None = None) -> ChainAudit:
    """Replay a run's chain in a fresh EVM and compare it with the run's files.

    Checks every block, seal, root and proof of the chain; that it was opened with this configuration; that
    ``rounds.jsonl`` and ``summary.json`` agree with the chain; that the results are those whose digest was published;
    that requests for synthetic samples and their batches are the logged ones; and that the last checkpoint holds the
    model that the chain finalised.

    Args:
        directory: the run directory.
        second: another EVM, which must compute the same gas, logs and state roots.

    Raises:
        BoflError: if the directory holds no run, the run has no ledger or metrics that are not registered, or the
            second EVM is not installed.
        VerificationError: naming the first check that fails.
    """
    path = Path(directory)
    config = read_config(path)
    config.require("federation.rounds", int)
    if config.require("ledger.mode", str) == "off":
        raise BoflError(f"{path} was run with ledger.mode = 'off': there is no chain to audit")
    run = AuditedRun(path, config, audit_chain(path, second, config.section("ledger").get("node")))
    _verify(run, RUN_CHECKS)
    if run.chain.results or is_complete(path):
        _verify(run, RESULT_CHECKS)
        _require_registered_metrics(run)
    return run.chain


def _require_registered_metrics(run: AuditedRun) -> None:
    """The metrics of the summary are known here; those of a user's own file need ``--import``."""
    for measured in run.summary["test"].values():
        METRICS.check_registered(measured or {})


def _verify(run: AuditedRun, checks: tuple[Callable[[AuditedRun], None], ...]) -> None:
    """Run checks in order; a result file that cannot be read fails the check that needs it."""
    for check in checks:
        try:
            check(run)
        except VerificationError:
            raise
        except BoflError as error:
            raise VerificationError(str(error)) from error


def check_configuration(run: AuditedRun) -> None:
    """The chain was opened with the SHA-256 of ``config.toml``."""
    if run.chain.config_hash != run.config.sha256:
        raise VerificationError(f"{run.config.path} is not the configuration that the chain was opened with")


def check_rounds(run: AuditedRun) -> None:
    """``rounds.jsonl`` has the rounds of the chain, with their gas, accepted and rejected updates."""
    if len(run.records) != len(run.chain.rounds):
        raise VerificationError(f"rounds.jsonl holds {len(run.records)} rounds, the chain {len(run.chain.rounds)}")
    for record, on_chain in zip(run.records, run.chain.rounds, strict=True):
        cost = record["ledger"]
        stated = (record["round"], cost["gas"], cost["accepted"], cost["rejected"])
        if stated != (on_chain.version, on_chain.gas, on_chain.count, on_chain.rejected):
            raise VerificationError(
                f"rounds.jsonl, round {record['round']}: gas, accepted or rejected differ from the chain"
            )


def check_sample_requests(run: AuditedRun) -> None:
    """Requests for synthetic samples and their batches are those of the chain."""
    _ = run.requests
    events = [indexed.event for indexed in run.chain.events]
    check_batches(run.directory, [event.args for event in events if event.name == "SyntheticLogged"])


def check_final_model(run: AuditedRun) -> None:
    """The last checkpoint holds the model that the chain finalised."""
    directory = run.directory / "checkpoints"
    if not directory.is_dir():
        raise VerificationError(f"{directory} is missing: the final model cannot be checked")
    store = CheckpointStore(directory)
    try:
        checkpoint = store.latest()
    finally:
        store.close()
    if checkpoint is None:
        raise VerificationError(f"{directory} is empty: the final model cannot be checked")
    expected = next((found.model_digest for found in run.chain.rounds if found.version == checkpoint.round), None)
    if expected != checkpoint.digest("params"):
        raise VerificationError(f"the model of checkpoint {checkpoint.round} is not the one that the chain finalised")
    last = len(run.chain.rounds)
    if run.chain.results and checkpoint.round != last:
        raise VerificationError(
            f"the last checkpoint is of round {checkpoint.round}, not of {last}, the last on the chain"
        )


def check_summary_form(run: AuditedRun) -> None:
    """``summary.json`` has the keys and the bytes that a run writes."""
    expected = set(SummaryRecord.__required_keys__)
    expected |= {"safety"} if "explain" in run.options else set()  # runs of older versions have no such section
    expected |= {"explanation"} if run.options.get("explain") else set()
    if set(run.summary) != expected or not is_as_written(run.directory, run.summary):
        raise VerificationError("summary.json was changed: it is not as a run writes it")


def check_summary_values(run: AuditedRun) -> None:
    """Costs, times, requests and the configuration's hash follow from the chain and from ``rounds.jsonl``."""
    summary, chain = run.summary, run.chain
    if len(chain.rounds) != run.rounds:
        raise VerificationError(
            f"summary.json: the chain has {len(chain.rounds)} rounds, but the configuration asks for {run.rounds}"
        )
    try:
        costs = ledger_summary(run.records, run.config.require("ledger.mode", str), chain.head_hash)
        timing = timing_of(run.records, summary["timing"]["compile_s"])
    except ZeroDivisionError:
        raise VerificationError("rounds.jsonl: the rounds took no time at all, so the file was changed") from None
    verified = flatten(
        {
            "ledger": costs | {"gas_total": sum(found.gas for found in chain.rounds)},
            "timing": timing,
            "synthesis": request_totals(run.requests),
            "config_sha256": chain.config_hash.hex(),
        }
    )
    stated = flatten({name: summary[name] for name in ("ledger", "timing", "synthesis", "config_sha256")})
    for name in verified | stated:
        said, true = stated.get(name, "absent"), verified.get(name, "absent")
        if said != true:
            raise VerificationError(f"summary.json: {name} is {said}, but {true} is what was verified")


def check_published_results(run: AuditedRun) -> None:
    """The results digest on the chain is that of the results."""
    if run.chain.results.get(run.rounds) != results_digest(run.directory, run.summary):
        raise VerificationError(
            "the results (summary.json, rounds.jsonl, clients.csv, predictions.npz) are not those that were published"
        )


def check_reliability(run: AuditedRun) -> None:
    """``safety`` of the summary follows from the test predictions, which were published."""
    if "safety" not in run.summary:
        return
    classes = tuple(map(str, run.predictions["classes"]))
    for model in MODELS:
        probability = run.predictions.get(f"{model}_probability")
        try:
            stated = run.summary["safety"][model]
            if stated is None or probability is None:
                wrong = "" if stated is None and probability is None else "a model"
            else:
                wrong = first_difference(stated, probability, run.predictions["label"], classes)
        except (AttributeError, KeyError, TypeError) as error:
            raise VerificationError(f"summary.json: safety.{model} is missing or damaged ({error})") from None
        if wrong:
            raise VerificationError(f"summary.json: {wrong} of safety.{model} does not follow from predictions.npz")


def check_group_fairness(run: AuditedRun) -> None:
    """Groups of people in the summary follow from the test predictions; there are none where none were asked for."""
    attribute = run.options.get("groups", "none")
    try:
        fairness = run.summary["fairness"]
        stated = {model: {"groups": measured["groups"]} for model, measured in fairness.items() if "groups" in measured}
        wrong = first_group_difference(
            stated, groups_from_predictions({} if attribute == "none" else run.predictions, attribute)
        )
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise VerificationError(f"groups of people in summary.json or predictions.npz are damaged ({error})") from None
    if wrong:
        raise VerificationError(f"summary.json: {wrong} of fairness does not follow from predictions.npz")


RUN_CHECKS = (check_configuration, check_rounds, check_sample_requests, check_final_model)
"""Checks of every run, complete or not, in this order."""

RESULT_CHECKS = (
    check_summary_form,
    check_summary_values,
    check_published_results,
    check_reliability,
    check_group_fairness,
)
"""Checks of a run that has results, in this order."""
