"""The ledger's part of a run's page: the audited rounds, and the history of every client.

Contributions are packed columns and digests are shortened, so that a page of a million contributions still opens. The
files and ``bofl audit --client`` have everything in full.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.ledger import ChainAudit
from bofl_jax.ledger.audit.provenance import client_history, rounds_table
from bofl_jax.ledger.audit.records import AuditedRound
from bofl_jax.ledger.audit.replay import IndexedEvent
from bofl_jax.pages.fill import pack_numbers
from bofl_jax.runs.audit_report import AuditReport, shorten_digests

MAX_CONTRIBUTIONS = 500_000
"""Contributions on a page, of the last rounds: some 20 MB."""
MAX_EVENTS = 100_000
"""Other events of clients on a page, the last ones."""

SHORT = 8
"""Bytes of a shortened digest."""


def ledger_data(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Audit a run, and return its rounds and its clients' histories, or a ``note`` why there are none.

    Args:
        directory: the run directory.
        config: its configuration: section -> key -> value.

    Raises:
        BoflError: if the ledger is missing or damaged.
        VerificationError: if the audit fails.
    """
    section = config.get("ledger", {})
    if section.get("mode") == "off":
        return {"note": "The run was made with ledger.mode = off: nobody can prove who contributed what."}
    if section.get("node"):
        return {"note": "An Ethereum node keeps the chain: bofl audit can query it, a page without a network cannot."}
    report = AuditReport(directory)
    return chain_data(report.chain) | {"conclusion": report.conclusion()}


def chain_data(chain: ChainAudit) -> dict[str, Any]:
    """Rounds, contributions and events of an audited chain.

    Args:
        chain: the audited chain.

    Returns:
        ``rounds``, a row each; ``contributions``, columns over all contributions of the rounds from index ``first`` on
        (base64 of float64, ``update`` of 8 bytes); ``events``, rows [client, block, round, what, details];
        ``addresses`` by client; ``aborted`` rounds; ``left_out``, the number of contributions and events that the page
        does not hold.
    """
    last = _last_rounds(chain.rounds)
    first = len(chain.rounds) - len(last)
    events = _events(chain)
    older_contributions = sum(found.count for found in chain.rounds[:first])
    return {
        "rounds": [_round(row, found) for row, found in zip(rounds_table(chain), chain.rounds, strict=True)],
        "contributions": _contributions(last),
        "first": first,
        "events": events[-MAX_EVENTS:],
        "addresses": ["0x" + address.hex() for address in chain.registry],
        "aborted": chain.aborted,
        "left_out": older_contributions + max(0, len(events) - MAX_EVENTS),
    }


def _round(row: Mapping[str, Any], found: AuditedRound) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "clients"}
    return shown | {"model_digest": shorten_digests(row["model_digest"]), "block": found.blocks[1]}


def _last_rounds(rounds: Sequence[AuditedRound]) -> Sequence[AuditedRound]:
    """The last rounds, as many as have `MAX_CONTRIBUTIONS` together."""
    contributions = np.cumsum([found.count for found in rounds][::-1])
    return rounds[len(rounds) - int((contributions <= MAX_CONTRIBUTIONS).sum()) :]


def _contributions(rounds: Sequence[AuditedRound]) -> dict[str, str]:
    """Columns over the contributions of some rounds, one round after another."""
    leaves = [found.record.leaves for found in rounds]
    return {
        "client": pack_numbers(_concatenate([found.record.clients for found in rounds])),
        "samples": pack_numbers(_concatenate([rows["samples"] for rows in leaves])),
        "loss": pack_numbers(_concatenate([rows["metric"] for rows in leaves]) / 1e6),
        "update": base64.b64encode(b"".join(map(_short_digests, leaves))).decode(),
    }


def _short_digests(leaves: np.ndarray) -> bytes:
    """The first bytes of every leaf's update digest."""
    whole = np.frombuffer(leaves["update_digest"].tobytes(), np.uint8).reshape(len(leaves), -1)
    return whole[:, :SHORT].tobytes()


def _concatenate(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The parts in one array; int64[0] where there is none."""
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _events(chain: ChainAudit) -> list[list[Any]]:
    """All events about clients but their contributions, in the order of the chain."""
    rows = [
        [client, row["block"], row["round"], row["what"], shorten_digests(row["particulars"])]
        for client, events in enumerate(_events_by_client(chain))
        for row in client_history(replace(chain, rounds=[], events=events), client)
    ]
    return sorted(rows, key=lambda row: row[1])


def _events_by_client(chain: ChainAudit) -> list[list[IndexedEvent]]:
    """Every client's events, in one pass; a decision on a request is about the client that made the request."""
    index = {"0x" + address.hex(): client for client, address in enumerate(chain.registry)}
    requesters: dict[int, str] = {}
    found: list[list[IndexedEvent]] = [[] for _ in chain.registry]
    for indexed in chain.events:
        args = indexed.event.args
        if "request" in args and "client" in args:
            requesters.setdefault(args["request"], args["client"])
        client = index.get(args.get("client") or requesters.get(args.get("request", 0), ""))
        if client is not None:
            found[client].append(indexed)
    return found
