"""What an audited chain says in answer to two questions: who made this model, and what did this client do?"""

from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger import merkle
from bofl_jax.ledger.audit.chain_audit import AuditedRound, ChainAudit
from bofl_jax.ledger.contract.artefact import LogEvent

Row = dict[str, Any]


def rounds_table(audit: ChainAudit) -> list[Row]:
    """A row a finalised round: model number, round on chain, model digest, who contributed what, gas."""
    return [
        {
            "model": found.version,
            "round": found.round,
            "model_digest": "0x" + found.model_digest.hex(),
            "contributors": found.count,
            "refused": found.refused,
            "samples": found.samples,
            "loss": found.metric / 1e6,
            "gas": found.gas,
            "clients": found.record.clients.tolist(),
        }
        for found in audit.rounds
    ]


def deeds(audit: ChainAudit, client: int) -> list[Row]:
    """Everything that one client did, or that was done about it, in order: block, round, what, and its particulars.

    Args:
        audit: the audited chain.
        client: index of the client.
    """
    address = "0x" + audit.registry[client].hex()
    requests = {t.event.args["request"]: t.event.args["client"] for t in audit.told if "classCounts" in t.event.args}
    rows = [
        {"block": told.block, "round": told.event.args.get("round"), "what": told.event.name} | _particulars(told.event)
        for told in audit.told
        if _whom(told.event, requests) == address
    ]
    for found in audit.rounds:
        for index in np.flatnonzero(found.record.clients == client):
            leaf = merkle.leaf_at(found.record.leaves, int(index))
            shown = f"update 0x{leaf.update_digest.hex()}, {leaf.samples} samples, loss {leaf.metric / 1e6:.6f}"
            where = {"block": found.blocks[1], "round": found.round}
            rows.append(where | {"what": f"Contributed to model {found.version}", "particulars": shown})
    return sorted(rows, key=lambda row: row["block"])


def prove_contribution(audit: ChainAudit, client: int, round: int) -> str:
    """The text of a proof, for `bofl_jax.ledger.proof.verify_proof`, that a client contributed to a round.

    Args:
        audit: the audited chain.
        client: index of the client.
        round: number of the round on the chain.

    Raises:
        BoflError: if it did not.
    """
    from bofl_jax.ledger.audit.proof import prove
    from bofl_jax.ledger.chain.genesis import Genesis

    found = next((one for one in audit.rounds if one.round == round), None)
    if found is None:
        state = "was aborted" if round in audit.aborted else "was not finalised"
        raise BoflError(f"round {round} {state}: the rounds of the chain are in the table of bofl audit")
    if audit.receipts is None or not isinstance(audit.genesis, Genesis):
        raise BoflError("a proof needs the receipts of a chain of one's own: this run is on a node, ask it for them")
    index = _position(found, client)
    path = merkle.proof(merkle.levels(found.record.leaves), index)
    leaf = merkle.leaf_at(found.record.leaves, index)
    return prove(audit.genesis, audit.address, audit.log, audit.receipts, leaf, index, path)


def _position(found: AuditedRound, client: int) -> int:
    where = np.flatnonzero(found.record.clients == client)
    if not len(where):
        raise BoflError(
            f"client {client} did not contribute to round {found.round}: bofl audit --client lists its rounds"
        )
    return int(where[0])


def _whom(event: LogEvent, requests: dict[int, str]) -> str | None:
    return event.args.get("client") or requests.get(event.args.get("request", 0))


def _particulars(event: LogEvent) -> Row:
    from bofl_jax.ledger.contract.artefact import ENUMS

    shown = []
    for name, value in event.args.items():
        if name in ("client", "round"):
            continue
        if name == "reason":
            value = RejectionReason(value).name if event.name == "UpdateRefused" else ENUMS["Rejection"][value]  # noqa: PLW2901
        shown.append(f"{name} {'0x' + value.hex() if isinstance(value, bytes) else value}")
    return {"particulars": ", ".join(shown)}
