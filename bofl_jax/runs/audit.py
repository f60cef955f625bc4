"""Audit a run from its directory alone: the chain, and everything in the results that the chain vouches for."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.core.parsing import parse_json
from bofl_jax.evaluation.group_fairness import differing_groups, groups_from
from bofl_jax.evaluation.reliability import differing
from bofl_jax.ledger import ChainAudit, SecondEngine, audit_chain
from bofl_jax.results.requests import tally
from bofl_jax.results.writing import read_json, read_toml, results_digest, summary_text
from bofl_jax.runs.audit_requests import check_batches, check_requests
from bofl_jax.runs.checkpoint import Checkpoints

SUMMARY = {"test", "fairness", "synthesis", "ledger", "timing", "config_sha256"}
"""What the summary of every run holds."""


def audit(directory: str | Path, second: SecondEngine | None = None) -> ChainAudit:
    """Replay a run's chain in a fresh EVM and compare it with the run's files.

    Checks every block, seal, root and proof of the chain; that it was opened with this configuration; that
    ``rounds.jsonl`` and ``summary.json`` say what the chain says; that the results are those whose digest was
    published; that requests for synthetic samples and their batches are the logged ones; and that the last checkpoint
    holds the model that the chain finalised.

    Args:
        directory: the run directory.
        second: another EVM that has to come to the same gas, logs and state roots.

    Raises:
        BoflError: if the directory is no run, the run has no ledger, or the second EVM is not installed.
        VerificationError: naming the first thing that does not hold.
    """
    path = Path(directory)
    ledger, rounds, balances = _what_was_run(path)
    if ledger["mode"] == "off":
        raise BoflError(f"{path} was run with ledger.mode = 'off': there is no chain to audit")
    chain = audit_chain(path, second, ledger.get("node"))
    if chain.config_hash != hashlib.sha256((path / "config.toml").read_bytes()).digest():
        raise VerificationError(f"{path / 'config.toml'} is not the configuration that the chain was opened with")
    _compare_rounds(path, chain)
    requests = check_requests(path, [told.event for told in chain.told]) if balances else []
    check_batches(path, [told.event.args for told in chain.told if told.event.name == "SyntheticLogged"])
    _compare_model(path, chain)
    if chain.results or (path / "summary.json").exists():
        _compare_summary(path, chain, ledger["mode"], rounds, tally(requests))
    return chain


def _what_was_run(path: Path) -> tuple[dict[str, Any], int, bool]:
    """The run's ``[ledger]`` section, its number of rounds, and whether clients asked for synthetic samples."""
    config = read_toml(path / "config.toml")
    try:
        ledger, rounds = config["ledger"], config["federation"]["rounds"]
        balances = config.get("synthesis", {}).get("generator", "none") != "none"
        return {"mode": ledger["mode"], "node": ledger.get("node")}, rounds, balances
    except (KeyError, TypeError, AttributeError) as error:
        raise BoflError(f"{path / 'config.toml'} is no run's configuration ({error}): restore it from a copy") from None


def find_client(directory: str | Path, chain: ChainAudit, name: str) -> int:
    """The index of a client, by its name in ``clients.csv``, its address ``0x...`` or its index.

    Raises:
        BoflError: if there is none.
    """
    path = Path(directory) / "clients.csv"
    if path.exists():
        with path.open(newline="") as file:
            names = [row.get("client") for row in csv.DictReader(file)]
        if name in names:
            return names.index(name)
    addresses = ["0x" + address.hex() for address in chain.registry]
    if name.lower() in addresses:
        return addresses.index(name.lower())
    if name.isdecimal() and int(name) < chain.clients:
        return int(name)
    last = chain.clients - 1
    raise BoflError(f"there is no client {name}: give a name of clients.csv, an address, or an index 0..{last}")


def _compare_rounds(path: Path, chain: ChainAudit) -> None:
    try:
        records = [parse_json(line) for line in (path / "rounds.jsonl").read_text().splitlines()]
        stated = [(r["round"], r["ledger"]["gas"], r["ledger"]["accepted"], r["ledger"]["rejected"]) for r in records]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{path / 'rounds.jsonl'} is missing or damaged ({error})") from None
    if len(stated) != len(chain.rounds):
        raise VerificationError(f"rounds.jsonl holds {len(stated)} rounds, the chain {len(chain.rounds)}")
    for line, on_chain in zip(stated, chain.rounds, strict=True):
        if line != (on_chain.version, on_chain.gas, on_chain.count, on_chain.refused):
            raise VerificationError(f"rounds.jsonl, round {line[0]}: gas, accepted or rejected differ from the chain")


def _compare_model(path: Path, chain: ChainAudit) -> None:
    if not (path / "checkpoints").is_dir():
        raise VerificationError(f"{path / 'checkpoints'} is missing: the final model cannot be checked")
    checkpoints = Checkpoints(path / "checkpoints")
    try:
        saved = checkpoints.latest()
    except BoflError as error:
        raise VerificationError(str(error)) from error
    finally:
        checkpoints.close()
    if saved is None:
        raise VerificationError(f"{path / 'checkpoints'} is empty: the final model cannot be checked")
    expected = next((r.model_digest for r in chain.rounds if r.version == saved.round), None)
    if expected != saved.digest("params"):
        raise VerificationError(f"the model of checkpoint {saved.round} is not the one that the chain finalised")
    if chain.results and saved.round != len(chain.rounds):
        raise VerificationError(
            f"the last checkpoint is of round {saved.round}, not of {len(chain.rounds)}, the chain's last"
        )


def _compare_summary(path: Path, chain: ChainAudit, mode: str, rounds: int, requests: dict[str, int] | None) -> None:
    try:
        summary: dict[str, Any] = read_json(path / "summary.json")
        stated = summary["ledger"]
        pairs = {
            "ledger.head_hash": (stated["head_hash"], chain.head_hash),
            "ledger.rounds": (stated["rounds"], rounds),
            "the number of rounds on the chain": (len(chain.rounds), rounds),
            "ledger.gas_total": (stated["gas_total"], sum(r.gas for r in chain.rounds)),
            "ledger.accepted": (stated["accepted"], sum(r.count for r in chain.rounds)),
            "synthesis": (summary["synthesis"], requests),
            "ledger.mode": (stated["mode"], mode),
            "config_sha256": (summary["config_sha256"], chain.config_hash.hex()),
            **_sums_of_rounds(path, summary),
        }
    except (BoflError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise VerificationError(f"{path / 'summary.json'} is missing or damaged ({error})") from None
    if set(summary) != _keys(path) or summary_text(summary) != (path / "summary.json").read_text():
        raise VerificationError("summary.json was changed: it is not as a run writes it")
    for name, (said, true) in pairs.items():
        if said != true:
            raise VerificationError(f"summary.json: {name} is {said}, but {true} is what was verified")
    if chain.results.get(rounds) != _results_digest(path, summary):
        raise VerificationError(
            "the results (summary.json, rounds.jsonl, clients.csv, predictions.npz) are not those that were published"
        )
    if "safety" in summary:
        _compare_safety(path, summary["safety"])
    _compare_groups(path, summary["fairness"])


def _keys(path: Path) -> set[str]:
    """What the summary must hold; a run of before there was ``evaluate.explain`` says nothing of safety."""
    evaluate = read_toml(path / "config.toml").get("evaluate", {})
    return (
        SUMMARY
        | ({"safety"} if "explain" in evaluate else set())
        | ({"explanation"} if evaluate.get("explain") else set())
    )


def _compare_safety(path: Path, stated: Any) -> None:
    """What is said of safety must follow from the predictions, which were published."""
    found = _predictions(path)
    classes = tuple(map(str, found["classes"]))
    for model in ("global", "personalised"):
        probability = found.get(f"{model}_probability")
        try:
            wrong = _differing(stated[model], probability, found["label"], classes)
        except (AttributeError, KeyError, TypeError) as error:
            raise VerificationError(f"{path / 'summary.json'} is missing or damaged ({error})") from None
        if wrong:
            raise VerificationError(f"summary.json: {wrong} of safety.{model} does not follow from predictions.npz")


def _differing(stated: Any, probability: np.ndarray | None, label: np.ndarray, classes: Sequence[str]) -> str:
    if stated is None or probability is None:
        return "" if stated is None and probability is None else "what is said"
    return differing(stated, probability, label, classes)


def _compare_groups(path: Path, fairness: Any) -> None:
    """What is said of groups of people must follow from the predictions; nothing is, where none were asked for."""
    attribute = read_toml(path / "config.toml").get("evaluate", {}).get("groups", "none")
    try:
        stated = {model: {"groups": measured["groups"]} for model, measured in fairness.items() if "groups" in measured}
        arrays = {} if attribute == "none" else _predictions(path)
        wrong = differing_groups(stated, groups_from(arrays, attribute))
    except (BoflError, AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise VerificationError(f"what the run says of groups of people is missing or damaged ({error})") from None
    if wrong:
        raise VerificationError(f"summary.json: {wrong} of fairness does not follow from predictions.npz")


def _predictions(path: Path) -> dict[str, np.ndarray]:
    with np.load(path / "predictions.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def _results_digest(path: Path, summary: dict[str, Any]) -> bytes:
    try:
        return results_digest(path, summary)
    except BoflError as error:
        raise VerificationError(str(error)) from error


def _sums_of_rounds(path: Path, summary: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What the summary says beyond the chain, and the lines of ``rounds.jsonl`` that it must follow from."""
    records = [parse_json(line) for line in (path / "rounds.jsonl").read_text().splitlines()]
    stated, timing = summary["ledger"], summary["timing"]
    total = {name: sum(r["ledger"][name] for r in records) for name in ("gas", "bytes", "cpu_ms", "rejected")}
    seconds = sum(record["seconds"] for record in records)
    return {
        "ledger.gas_per_round": (stated["gas_per_round"], total["gas"] / len(records)),
        "ledger.bytes_total": (stated["bytes_total"], total["bytes"]),
        "ledger.cpu_ms_per_round": (stated["cpu_ms_per_round"], total["cpu_ms"] / len(records)),
        "ledger.rejected": (stated["rejected"], total["rejected"]),
        "timing.rounds_s": (timing["rounds_s"], seconds),
        "timing.samples_per_s": (timing["samples_per_s"], sum(record["examples"] for record in records) / seconds),
    }
