"""The ledger of a run without a chain: it records nothing and costs nothing."""

import numpy as np

from bofl_jax.ledger.base import NO_COST, RoundCost, Submissions
from bofl_jax.ledger.contract.registry import initially_registered, planned_eligibility
from bofl_jax.ledger.options import LedgerOptions


class NullLedger:
    """Counts submissions and derives the clients' eligibility from the configuration.

    Args:
        options: the ``[ledger]`` section.
        clients: C, number of clients.

    Raises:
        BoflError: if the options name clients that do not exist.
    """

    mode = "off"
    head_hash = ""
    blocks = 0

    def __init__(self, options: LedgerOptions, clients: int) -> None:
        initially_registered(options, clients)
        self._options, self._clients = options, clients

    def eligibility(self, round: int) -> np.ndarray:
        """uint8[C]: the eligibility that the configuration plans for a round."""
        return planned_eligibility(self._options, self._clients, round)

    def open_round(self, round: int, cohort: np.ndarray) -> None:
        """Do nothing."""

    def close_round(self, round: int, submissions: Submissions, model_digest: bytes) -> RoundCost:  # noqa: ARG002
        """Return a cost of zero with the numbers of accepted and rejected updates."""
        accepted = int(submissions.accepted.sum())
        return NO_COST._replace(accepted=accepted, rejected=len(submissions.client) - accepted)

    def publish_results(self, digest: bytes) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
