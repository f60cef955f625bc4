"""Options of the ledger: the `[ledger]` section of a configuration."""

from typing import Literal

from pydantic import Field

from bofl_jax.core.options import Options


class LedgerOptions(Options):
    """How a run is recorded.

    Attributes:
        mode: ``merkle`` puts one Merkle root a round on the chain; ``calldata`` the digests of all updates as well,
            ``signed`` what every client signed, ``per-client`` a transaction of each; ``off`` keeps no ledger.
        quorum: share of the cohort whose updates must be accepted for a round to be committed.
        authorities: how many accounts seal blocks in turn.
    """

    mode: Literal["merkle", "signed", "per-client", "calldata", "off"] = "merkle"
    quorum: float = Field(0.0, ge=0, le=1)
    authorities: int = Field(3, ge=1, le=16)
