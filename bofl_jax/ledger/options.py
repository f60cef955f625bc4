"""Options of the ledger: the `[ledger]` section of a configuration."""

from typing import Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options


class RegistryChange(Options):
    """What the admin does to one client's entry before a round is opened."""

    round: int = Field(ge=1, description="before which round")
    action: Literal["register", "suspend", "revoke", "readmit"]
    client: int = Field(ge=0, description="index of the client")


class LedgerOptions(Options):
    """How a run is recorded.

    Attributes:
        mode: ``merkle`` puts one Merkle root a round on the chain; ``calldata`` the digests of all updates as well,
            ``signed`` what every client signed, ``per-client`` a transaction of each; ``off`` keeps no ledger.
        quorum: share of the cohort whose updates must be accepted for a round to be committed.
        authorities: how many accounts seal blocks in turn.
        registered: how many clients, in the order of their index, are registered from the start; all when left out.
        changes: what happens to the registry during the run.
        node: address ``http://...`` of an Ethereum node that executes and keeps the run's transactions; when left out,
            they stay on a chain inside the process.
    """

    mode: Literal["merkle", "signed", "per-client", "calldata", "off"] = "merkle"
    quorum: float = Field(0.0, ge=0, le=1)
    authorities: int = Field(3, ge=1, le=16)
    registered: int | None = Field(None, ge=1)
    changes: tuple[RegistryChange, ...] = ()
    node: str | None = None

    @model_validator(mode="after")
    def _node_belongs(self) -> "LedgerOptions":
        if self.node and self.mode == "off":
            raise ValueError("ledger.node belongs to a ledger: leave it out, or set ledger.mode")
        if self.node and self.authorities != LedgerOptions.model_fields["authorities"].default:
            raise ValueError("ledger.authorities seal a chain of one's own: leave it out, or leave ledger.node out")
        return self

    @model_validator(mode="after")
    def _join_in_order(self) -> "LedgerOptions":
        in_order = sorted(self.changes, key=lambda change: change.round)
        joining = [change.client for change in in_order if change.action == "register"]
        if joining and self.registered is None:
            raise ValueError("clients can be registered later only if ledger.registered says how many are at the start")
        if joining != list(range(self.registered or 0, (self.registered or 0) + len(joining))):
            raise ValueError(f"clients join in the order of their index: register {self.registered} next")
        return self
