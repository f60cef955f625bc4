"""What the page tells of the ledger: the audited rounds, and what every client did.

Contributions are packed columns and digests are shortened, so that a page of a million contributions still opens; the
files and ``bofl audit --client`` have everything in full.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.ledger import ChainAudit
from bofl_jax.ledger.audit.chain_audit import AuditedRound
from bofl_jax.ledger.audit.provenance import deeds, rounds_table
from bofl_jax.ledger.audit.replay import Told
from bofl_jax.pages.fill import packed
from bofl_jax.runs.audit_report import Report

CONTRIBUTIONS = 500_000
"""Contributions at most, of the last rounds: some 20 MB of page."""
EVENTS = 100_000
"""Other events of clients at most, the last ones."""

SHORT = 8  # bytes of a digest


def ledger_of(directory: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Audit a run and tell its rounds and its clients' deeds, or a ``note`` on why there is nothing to tell.

    Args:
        directory: the run directory.
        config: its configuration.

    Raises:
        BoflError: if the ledger is missing or damaged.
        VerificationError: if something does not hold.
    """
    section = config.get("ledger", {})
    if section.get("mode") == "off":
        return {"note": "The run was made with ledger.mode = off: nobody can prove who contributed what."}
    if section.get("node"):
        return {"note": "The chain is kept by an Ethereum node: bofl audit asks it, a page without a network cannot."}
    audited = Report(directory)
    return told_of(audited.chain) | {"conclusion": audited.conclusion()}


def told_of(chain: ChainAudit) -> dict[str, Any]:
    """Rounds, contributions and events of an audited chain.

    Args:
        chain: what the audit found to hold.

    Returns:
        ``rounds``, a row each; ``contributions``, columns over all contributions of the rounds from number ``first``
        on (base64 of float64, ``update`` of 8 bytes); ``events``, rows [client, block, round, what, particulars];
        ``addresses`` by client; ``aborted``; ``left_out``, how many contributions and events do not stand there.
    """
    kept = _last_rounds(chain.rounds)
    events = _events(chain)
    contributions = sum(found.count for found in chain.rounds[: len(chain.rounds) - len(kept)])
    return {
        "rounds": [_round(row, found) for row, found in zip(rounds_table(chain), chain.rounds, strict=True)],
        "contributions": _contributions(kept),
        "first": len(chain.rounds) - len(kept),
        "events": events[-EVENTS:],
        "addresses": ["0x" + address.hex() for address in chain.registry],
        "aborted": chain.aborted,
        "left_out": contributions + max(0, len(events) - EVENTS),
    }


def _round(row: dict[str, Any], found: AuditedRound) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "clients"}
    return shown | {"model_digest": shorten(row["model_digest"]), "block": found.blocks[1]}


def _last_rounds(rounds: Sequence[AuditedRound]) -> Sequence[AuditedRound]:
    """As many of the last rounds as `CONTRIBUTIONS` allow."""
    after = np.cumsum([found.count for found in rounds][::-1])
    return rounds[len(rounds) - int((after <= CONTRIBUTIONS).sum()) :]


def _contributions(rounds: Sequence[AuditedRound]) -> dict[str, str]:
    """Columns over the contributions of these rounds, in their order; the rounds' counts say where each begins."""
    leaves = [found.record.leaves for found in rounds]
    columns = {name: _joined([rows[name] for rows in leaves]) for name in ("samples", "metric")}
    client = _joined([found.record.clients for found in rounds])
    return {
        "client": packed(client),
        "samples": packed(columns["samples"]),
        "loss": packed(columns["metric"] / 1e6),
        "update": base64.b64encode(b"".join(map(_short_digests, leaves))).decode(),
    }


def _short_digests(leaves: np.ndarray) -> bytes:
    """The first bytes of every leaf's update digest."""
    whole = np.frombuffer(leaves["update_digest"].tobytes(), np.uint8).reshape(len(leaves), -1)
    return whole[:, :SHORT].tobytes()


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _events(chain: ChainAudit) -> list[list[Any]]:
    """What is said of clients, beside their contributions, in the order of the chain."""
    rows = [
        [client, row["block"], row["round"], row["what"], shorten(row["particulars"])]
        for client, told in enumerate(_by_client(chain))
        for row in deeds(replace(chain, rounds=[], told=told), client)
    ]
    return sorted(rows, key=lambda row: row[1])


def _by_client(chain: ChainAudit) -> list[list[Told]]:
    """Every client's events, found in one pass: a decision on a request is about the client that asked."""
    index = {"0x" + address.hex(): client for client, address in enumerate(chain.registry)}
    asked: dict[int, str] = {}
    found: list[list[Told]] = [[] for _ in chain.registry]
    for told in chain.told:
        args = told.event.args
        if "request" in args and "client" in args:
            asked.setdefault(args["request"], args["client"])
        client = index.get(args.get("client") or asked.get(args.get("request", 0), ""))
        if client is not None:
            found[client].append(told)
    return found


def shorten(text: str) -> str:
    """Long digests cut to their first eight bytes.

    >>> shorten("update 0x" + "ab" * 32 + ", 40 samples")
    'update 0xabababababababab\\u2026, 40 samples'
    """
    return re.sub(r"(0x[0-9a-f]{16})[0-9a-f]{24,}", "\\1\u2026", text)
