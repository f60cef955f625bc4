"""Options of the ledger: the `[ledger]` section of a configuration."""

from typing import Literal

from pydantic import Field

from bofl_jax.core.options import Options


class LedgerOptions(Options):
    """How a run is recorded.

    Attributes:
        mode: ``merkle`` puts one Merkle root a round on the chain, ``off`` keeps no ledger.
        authorities: how many accounts seal blocks in turn.
    """

    mode: Literal["merkle", "off"] = "merkle"
    authorities: int = Field(3, ge=1, le=16)
