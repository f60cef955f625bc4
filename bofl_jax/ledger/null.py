"""No ledger: the same interface, nothing written, nothing spent."""

import numpy as np

from bofl_jax.ledger.base import NO_COST, RoundCost, Submissions
from bofl_jax.ledger.contract.registry import at_start, planned_standing
from bofl_jax.ledger.options import LedgerOptions


class OffLedger:
    """Counts submissions and takes the configuration's word for who may contribute."""

    mode = "off"
    head_hash = ""
    blocks = 0

    def __init__(self, options: LedgerOptions, clients: int) -> None:
        at_start(options, clients)
        self._options, self._clients = options, clients

    def eligibility(self, round: int) -> np.ndarray:
        """uint8[C]: what the registry would say."""
        return planned_standing(self._options, self._clients, round)

    def open_round(self, round: int, cohort: np.ndarray) -> None:
        """Nothing to announce."""

    def close_round(self, round: int, submissions: Submissions, model_digest: bytes) -> RoundCost:  # noqa: ARG002
        """A round that costs nothing."""
        accepted = int(submissions.accepted.sum())
        return NO_COST._replace(accepted=accepted, rejected=len(submissions.client) - accepted)

    def publish_results(self, digest: bytes) -> None:
        """Nothing to put on record."""

    def close(self) -> None:
        """Nothing to release."""
