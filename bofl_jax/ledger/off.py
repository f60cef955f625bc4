"""No ledger: the same interface, nothing written, nothing spent."""

from collections.abc import Sequence

from bofl_jax.ledger.base import RoundCost, Submission


class OffLedger:
    """Counts submissions and does nothing else."""

    mode = "off"
    head_hash = ""
    blocks = 0

    def open_round(self, round: int, cohort: Sequence[int]) -> None:
        """Nothing to announce."""

    def close_round(self, round: int, submissions: Sequence[Submission], model_digest: bytes) -> RoundCost:  # noqa: ARG002
        """A round that costs nothing."""
        accepted = sum(submission.accepted for submission in submissions)
        return RoundCost(0, 0, 0.0, accepted, len(submissions) - accepted)

    def close(self) -> None:
        """Nothing to release."""
