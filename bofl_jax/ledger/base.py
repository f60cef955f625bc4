"""The interface between a run and its ledger: submitted updates, costs, and the `Ledger` protocol."""

from typing import NamedTuple, Protocol

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.verdicts import RejectionReason


class Submissions(NamedTuple):
    """The M updates that arrive at the server in one round, one row each, with the server's verdicts.

    Of several updates of one client at most one is accepted, and it comes first.

    Attributes:
        client: int[M], index of the sender, 0..C-1.
        digest: uint8[M, 32], digest of the update that the client sent.
        received: uint8[M, 32], digest of the update that arrived; equal to ``digest`` on an honest channel.
        samples: int[M], number of training samples used.
        metric: int[M], training loss in millionths, >= 0.
        rejection: uint8[M], a `RejectionReason`; an update with another reason than NONE is left out of the round's
            Merkle tree, and the reason is recorded.
    """

    client: np.ndarray
    digest: np.ndarray
    received: np.ndarray
    samples: np.ndarray
    metric: np.ndarray
    rejection: np.ndarray

    @property
    def accepted(self) -> np.ndarray:
        """bool[M]: whether each update is accepted and influences the model."""
        accepted: np.ndarray = self.rejection == RejectionReason.NONE
        return accepted

    def take(self, rows: np.ndarray) -> "Submissions":
        """The selected rows (int[N]), in the given order."""
        return Submissions(*(np.take(column, rows, axis=0) for column in self))


class RoundCost(NamedTuple):
    """The cost of recording one round.

    Attributes:
        gas: gas used by the round's transactions.
        bytes: total length of the signed transactions.
        transactions: number of transactions.
        cpu_ms: CPU time of the ledger in ms, including disk writes and excluding hashing.
        hash_ms: CPU time in ms for hashing the round's Merkle tree; the digests of updates are computed elsewhere.
        accepted: number of updates in the round's Merkle tree.
        rejected: number of updates that were submitted but rejected.
        phases: phase -> its share of ``cpu_ms``, in ms.
        gas_by_function: contract function -> gas used by its calls.
    """

    gas: int
    bytes: int
    transactions: int
    cpu_ms: float
    hash_ms: float
    accepted: int
    rejected: int
    phases: dict[str, float]
    gas_by_function: dict[str, int]


NO_COST = RoundCost(0, 0, 0, 0.0, 0.0, 0, 0, {}, {})


class VerdictDiffersError(BoflError):
    """The contract's verdict on a round differs from the server's: the run must stop, the round has no effect."""


class Ledger(Protocol):
    """Records which client contributed to which model. Rounds count from 1; each finalised round yields one model."""

    mode: str

    @property
    def head_hash(self) -> str:
        """Hash of the last block as ``0x...``; empty without a chain."""
        ...

    @property
    def blocks(self) -> int:
        """Number of blocks after the genesis block."""
        ...

    def eligibility(self, round: int) -> np.ndarray:
        """uint8[C]: a `RejectionReason` for each client; NONE if the client may contribute to the round.

        Registry changes that the configuration schedules before this round are applied first.
        """
        ...

    def open_round(self, round: int, cohort: np.ndarray) -> None:
        """Announce a round and its cohort before the clients train.

        Args:
            round: number of the round, from 1.
            cohort: int[M], indices of the invited clients.

        Raises:
            VerdictDiffersError: if the registry changed after `eligibility` was read.
        """
        ...

    def close_round(self, round: int, submissions: Submissions, model_digest: bytes) -> RoundCost:
        """Commit to the accepted updates and to the model that results from them.

        Args:
            round: number of the open round.
            submissions: the updates that arrived, with the server's verdicts.
            model_digest: 32 bytes, digest of the global model after the round.

        Raises:
            VerdictDiffersError: if the contract's verdict differs from the server's; the round is then aborted.
        """
        ...

    def publish_results(self, digest: bytes) -> None:
        """Record the 32-byte digest of the results of the last model."""
        ...

    def close(self) -> None:
        """Release the files. The ledger on disk is complete after every round even without this call."""
        ...
