"""Options of the ledger: the ``[ledger]`` section of a configuration."""

from typing import Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options


class RegistryChange(Options):
    """A change that the admin makes to one client's registry entry before a round is opened."""

    round: int = Field(ge=1, description="round before which the change is made")
    action: Literal["register", "suspend", "revoke", "readmit"]
    client: int = Field(ge=0, description="index of the client")


class LedgerOptions(Options):
    """How the ledger records a run.

    Attributes:
        mode: ``merkle`` records one Merkle root per round on the chain; ``calldata`` adds the digests of all accepted
            updates, ``signed`` adds every client's signed update, ``per-client`` adds one transaction per client;
            ``off`` keeps no ledger.
        quorum: share of the cohort whose updates must be accepted before a round can be committed.
        authorities: number of accounts that seal blocks in turn (proof of authority).
        registered: number of clients, in the order of their index, that are registered before round 1; default: all.
        changes: registry changes during the run.
        node: address ``http://...`` of an Ethereum node that executes and stores the run's transactions; default: a
            chain inside the process.
    """

    mode: Literal["merkle", "signed", "per-client", "calldata", "off"] = "merkle"
    quorum: float = Field(0.0, ge=0, le=1)
    authorities: int = Field(3, ge=1, le=16)
    registered: int | None = Field(None, ge=1)
    changes: tuple[RegistryChange, ...] = ()
    node: str | None = None

    @model_validator(mode="after")
    def _check_node(self) -> "LedgerOptions":
        if self.node and self.mode == "off":
            raise ValueError("ledger.node needs a ledger: remove ledger.node, or set another ledger.mode than off")
        if self.node and self.authorities != LedgerOptions.model_fields["authorities"].default:
            raise ValueError("ledger.authorities has no effect on a node: remove it, or remove ledger.node")
        return self

    @model_validator(mode="after")
    def _check_registration_order(self) -> "LedgerOptions":
        by_round = sorted(self.changes, key=lambda change: change.round)
        joined = [change.client for change in by_round if change.action == "register"]
        if joined and self.registered is None:
            raise ValueError("ledger.changes registers clients: set ledger.registered to the number at the start")
        if joined != list(range(self.registered or 0, (self.registered or 0) + len(joined))):
            raise ValueError(f"clients must be registered in the order of their index: register {self.registered} next")
        return self
