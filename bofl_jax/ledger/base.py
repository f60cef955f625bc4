"""What a ledger is to the rest of the program, and what an engine is to a ledger."""

from typing import NamedTuple, Protocol

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.verdicts import RejectionReason


class Submissions(NamedTuple):
    """The M updates that arrive at the server at the end of a round, a row each, with the server's verdicts.

    Of several updates of one client, at most one is accepted, and it stands first.

    Attributes:
        client: int[M], index of the sender, 0..C-1.
        digest: uint8[M, 32], of the update that the client says it sent.
        received: uint8[M, 32], of what arrived; the same where the channel is honest.
        samples: int[M], training examples used.
        metric: int[M], training loss in millionths, >= 0.
        refusal: uint8[M], `Refusal`; any but NONE keeps the update out of the round's tree, and is recorded.
    """

    client: np.ndarray
    digest: np.ndarray
    received: np.ndarray
    samples: np.ndarray
    metric: np.ndarray
    rejection: np.ndarray

    @property
    def accepted(self) -> np.ndarray:
        """bool[M]: which have influence on the model."""
        return self.rejection == RejectionReason.NONE

    def take(self, rows: np.ndarray) -> "Submissions":
        """Some of the rows, in the order given."""
        return Submissions(*(np.take(column, rows, axis=0) for column in self))


class RoundCost(NamedTuple):
    """What one round cost.

    Attributes:
        gas: gas of the round's transactions.
        bytes: length of those signed transactions.
        transactions: how many they are.
        cpu_ms: CPU time of the ledger in ms, disk included, hashing excluded.
        hash_ms: CPU time in ms of hashing the round's tree; the updates' own digests are not the ledger's.
        accepted: updates in the round's tree.
        rejected: updates handed in and kept out of it.
        phases: where ``cpu_ms`` went, phase -> ms.
        gas_of: function of the contract -> gas of its calls.
    """

    gas: int
    bytes: int
    transactions: int
    cpu_ms: float
    hash_ms: float
    accepted: int
    rejected: int
    phases: dict[str, float]
    gas_of: dict[str, int]


NO_COST = RoundCost(0, 0, 0, 0.0, 0.0, 0, 0, {}, {})


class VerdictDiffersError(BoflError):
    """The chain's word on a round is another than the server's: the round has no influence, the run must stop."""


class Ledger(Protocol):
    """Where a run writes down who contributed what to which model. Rounds count from 1, a finalised model each."""

    mode: str

    @property
    def head_hash(self) -> str:
        """Hash of the last block as ``0x...``; empty where there is no chain."""
        ...

    @property
    def blocks(self) -> int:
        """Number of blocks after genesis."""
        ...

    def eligibility(self, round: int) -> np.ndarray:
        """uint8[C]: why each client may not contribute to a round (`Refusal`; NONE: it may), as the registry says now.

        Changes of the registry that the configuration has in store for this round are made first.
        """
        ...

    def open_round(self, round: int, cohort: np.ndarray) -> None:
        """Announce a round and the client indices invited to it, before they train.

        Raises:
            VerdictDiffersError: if the registry changed since `standing` was asked.
        """
        ...

    def close_round(self, round: int, submissions: Submissions, model_digest: bytes) -> RoundCost:
        """Commit to the accepted updates and to the 32-byte digest of the model that they led to.

        Raises:
            VerdictDiffersError: if the chain's verdict is another than the server's; then the round is aborted.
        """
        ...

    def publish_results(self, digest: bytes) -> None:
        """Put the 32-byte digest of what was measured of the last model on record."""
        ...

    def close(self) -> None:
        """Release the files. The ledger on disk is complete after every round, with or without this."""
        ...
