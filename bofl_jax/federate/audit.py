"""Audit a run from its directory alone: the chain, and everything in the results that the chain vouches for."""

import hashlib
import json
from pathlib import Path
from typing import Any

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.federate.checkpoint import Checkpoints
from bofl_jax.federate.results import read_json, read_toml
from bofl_jax.ledger import ChainAudit, audit_chain


def audit(directory: str | Path) -> ChainAudit:
    """Replay a run's chain in a fresh EVM and compare it with the run's files.

    Checks every block, seal, root and proof of the chain; that it was opened with this configuration; that
    ``rounds.jsonl`` and ``summary.json`` say what the chain says; and that the last checkpoint holds the model that the
    chain finalised.

    Raises:
        BoflError: if the directory is no run, or the run has no ledger.
        VerificationError: naming the first thing that does not hold.
    """
    path = Path(directory)
    config = read_toml(path / "config.toml")
    if config.get("ledger", {}).get("mode") == "off":
        raise BoflError(f"{path} was run with ledger.mode = 'off': there is no chain to audit")
    chain = audit_chain(path)
    if chain.config_hash != hashlib.sha256((path / "config.toml").read_bytes()).digest():
        raise VerificationError(f"{path / 'config.toml'} is not the configuration that the chain was opened with")
    _compare_rounds(path, chain)
    _compare_model(path, chain)
    if (path / "summary.json").exists():
        _compare_summary(path, chain, config.get("federation", {}).get("rounds", 0))
    return chain


def _compare_rounds(path: Path, chain: ChainAudit) -> None:
    try:
        records = [json.loads(line) for line in (path / "rounds.jsonl").read_text().splitlines()]
        stated = [(r["round"], r["ledger"]["gas"], r["ledger"]["accepted"]) for r in records]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{path / 'rounds.jsonl'} is missing or damaged ({error})") from None
    if len(stated) != len(chain.rounds):
        raise VerificationError(f"rounds.jsonl holds {len(stated)} rounds, the chain {len(chain.rounds)}")
    for line, on_chain in zip(stated, chain.rounds, strict=True):
        if line != (on_chain.round, on_chain.gas, on_chain.count):
            raise VerificationError(f"rounds.jsonl, round {line[0]}: gas or accepted updates differ from the chain")


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
    expected = next((r.model_digest for r in chain.rounds if r.round == saved.round), None)
    if expected != saved.digest("params"):
        raise VerificationError(f"the model of checkpoint {saved.round} is not the one that the chain finalised")


def _compare_summary(path: Path, chain: ChainAudit, rounds: int) -> None:
    try:
        summary: dict[str, Any] = read_json(path / "summary.json")
        stated = summary["ledger"]
        pairs = {
            "ledger.head_hash": (stated["head_hash"], chain.head_hash),
            "ledger.rounds": (stated["rounds"], rounds),
            "the number of rounds on the chain": (len(chain.rounds), rounds),
            "ledger.gas_total": (stated["gas_total"], sum(r.gas for r in chain.rounds)),
            "ledger.accepted": (stated["accepted"], sum(r.count for r in chain.rounds)),
            "config_sha256": (summary["config_sha256"], chain.config_hash.hex()),
        }
    except (BoflError, KeyError, TypeError) as error:
        raise VerificationError(f"{path / 'summary.json'} is missing or damaged ({error})") from None
    for name, (said, true) in pairs.items():
        if said != true:
            raise VerificationError(f"summary.json: {name} is {said}, but {true} is what was verified")
