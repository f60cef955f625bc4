"""Answers two questions from an audited chain: who contributed to a model, and what is the history of a client?"""

from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger import merkle
from bofl_jax.ledger.audit.records import AuditedRound, ChainAudit
from bofl_jax.ledger.contract.artefact import ENUMS, ContractEvent

Row = dict[str, Any]


def rounds_table(audit: ChainAudit) -> list[Row]:
    """One row per finalised round: model number, round on the chain, model digest, contributors and gas.

    The keys are the columns of exported tables; ``refused`` counts rejected updates.
    """
    return [
        {
            "model": found.version,
            "round": found.round,
            "model_digest": "0x" + found.model_digest.hex(),
            "contributors": found.count,
            "refused": found.rejected,
            "samples": found.samples,
            "loss": found.metric / 1e6,
            "gas": found.gas,
            "clients": found.record.clients.tolist(),
        }
        for found in audit.rounds
    ]


def client_history(audit: ChainAudit, client: int) -> list[Row]:
    """All events about one client and all its contributions, in the order of the chain.

    Args:
        audit: the audited chain.
        client: index of the client.

    Returns:
        Rows of ``block``, ``round``, ``what`` (name of the event) and ``particulars`` (its other arguments).
    """
    address = "0x" + audit.registry[client].hex()
    requesters = {
        event.args["request"]: event.args["client"] for _, event in audit.events if "classCounts" in event.args
    }
    rows = [
        {"block": block, "round": event.args.get("round"), "what": event.name, "particulars": _details(event)}
        for block, event in audit.events
        if _subject_of(event, requesters) == address
    ]
    for found in audit.rounds:
        for index in np.flatnonzero(found.record.clients == client):
            leaf = merkle.unpack_leaf(found.record.leaves, int(index))
            details = f"update 0x{leaf.update_digest.hex()}, {leaf.samples} samples, loss {leaf.metric / 1e6:.6f}"
            position = {"block": found.blocks[1], "round": found.round}
            rows.append(position | {"what": f"Contributed to model {found.version}", "particulars": details})
    return sorted(rows, key=lambda row: row["block"])


def prove_contribution(audit: ChainAudit, client: int, round: int) -> str:
    """The text of a proof, for `bofl_jax.ledger.audit.proof.verify_proof`, that a client contributed to a round.

    Args:
        audit: the audited chain.
        client: index of the client.
        round: number of the round on the chain.

    Raises:
        BoflError: if the client did not contribute, or a node keeps the chain.
    """
    from bofl_jax.ledger.audit.proof import prove
    from bofl_jax.ledger.chain.genesis import Genesis

    found = next((one for one in audit.rounds if one.round == round), None)
    if found is None:
        state = "was aborted" if round in audit.aborted else "was not finalised"
        raise BoflError(f"round {round} {state}: the rounds of the chain are in the table of bofl audit")
    if audit.encoded_receipts is None or not isinstance(audit.genesis, Genesis):
        raise BoflError("a proof needs the receipts of the run's own chain: this run is on a node, ask it for them")
    index = _leaf_index(found, client)
    path = merkle.proof(merkle.levels(found.record.leaves), index)
    leaf = merkle.unpack_leaf(found.record.leaves, index)
    return prove(audit.genesis, audit.address, audit.raw_blocks, audit.encoded_receipts, leaf, index, path)


def _leaf_index(found: AuditedRound, client: int) -> int:
    matches = np.flatnonzero(found.record.clients == client)
    if not len(matches):
        raise BoflError(
            f"client {client} did not contribute to round {found.round}: bofl audit --client lists its rounds"
        )
    return int(matches[0])


def _subject_of(event: ContractEvent, requesters: dict[int, str]) -> str | None:
    """The address of the client that an event is about, directly or through a request."""
    return event.args.get("client") or requesters.get(event.args.get("request", 0))


def _details(event: ContractEvent) -> str:
    """The arguments of an event as text, except for its client and round."""
    args = {name: value for name, value in event.args.items() if name not in ("client", "round")}
    if "reason" in args:
        reason = args["reason"]
        args["reason"] = RejectionReason(reason).name if event.name == "UpdateRefused" else ENUMS["Rejection"][reason]
    return ", ".join(
        f"{name} {'0x' + value.hex() if isinstance(value, bytes) else value}" for name, value in args.items()
    )
