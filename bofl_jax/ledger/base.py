"""What a ledger is to the rest of the program, and what an engine is to a ledger."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import numpy as np

from bofl_jax.core.errors import BoflError


class Refusal(IntEnum):
    """Why an update has no influence on the model; the numbers are the contract's."""

    NONE = 0
    NOT_REGISTERED = 1
    SUSPENDED = 2
    REVOKED = 3
    NOT_IN_COHORT = 4
    DUPLICATE = 5
    BAD_SIGNATURE = 6
    DIGEST_MISMATCH = 7
    NOT_FINITE = 8


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
    refusal: np.ndarray

    @property
    def accepted(self) -> np.ndarray:
        """bool[M]: which have influence on the model."""
        return self.refusal == Refusal.NONE

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

    def standing(self, round: int) -> np.ndarray:
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


class Outcome(NamedTuple):
    """What became of one transaction.

    Attributes:
        sender: 20 bytes.
        to: 20 bytes, empty for a deployment.
        data: the calldata.
        success: False if it was reverted.
        output: what it returned, or the encoded error of a revert (known only to the engine that sealed it).
        gas: gas used.
        size: bytes of the signed transaction.
        logs: the events, each ``(address, topics, data)`` with 32-byte topics.
    """

    sender: bytes
    to: bytes
    data: bytes
    success: bool
    output: bytes
    gas: int
    size: int
    logs: tuple[tuple[bytes, tuple[bytes, ...], bytes], ...]


class Applied(NamedTuple):
    """A block that is part of the chain now: its number, its RLP bytes and its transactions' outcomes."""

    number: int
    raw: bytes
    outcomes: tuple[Outcome, ...]


class Call(NamedTuple):
    """A transaction to be: the sender's private key, the receiver (empty to deploy), the calldata and the gas limit."""

    key: bytes
    to: bytes
    data: bytes
    gas: int


class Follower(Protocol):
    """An EVM that follows a chain of blocks. Only this knows which implementation executes the contract."""

    @property
    def chain_id(self) -> int:
        """The chain that transactions and typed data are signed for."""
        ...

    @property
    def head_hash(self) -> bytes:
        """32 bytes, the hash of the last block."""
        ...

    @property
    def height(self) -> int:
        """Number of the last block; genesis is 0."""
        ...

    def import_block(self, raw: bytes) -> Applied:
        """Check a block in full and append it.

        Raises:
            VerificationError: if it is not a valid child of the head.
        """
        ...

    def view(self, to: bytes, data: bytes) -> tuple[bool, bytes]:
        """Call without a transaction: whether it succeeded, and the output or the encoded error."""
        ...

    def code(self, address: bytes) -> bytes:
        """The contract code at an address."""
        ...


class Engine(Follower, Protocol):
    """An EVM that also makes blocks."""

    def seal_block(self, calls: Sequence[Call], *, strict: bool = True) -> Applied:
        """Sign, execute and seal. ``strict`` refuses the whole block if a transaction is reverted.

        Raises:
            TransactionRevertedError: if ``strict`` and one was reverted; the chain is as before.
        """
        ...


class TransactionRevertedError(Exception):
    """A transaction that had to succeed was reverted, and its block dropped; says which and the encoded error."""

    def __init__(self, index: int, output: bytes) -> None:
        super().__init__(index, output)
        self.index, self.output = index, output


class LogEvent(NamedTuple):
    """A decoded contract event."""

    name: str
    args: dict[str, Any]
