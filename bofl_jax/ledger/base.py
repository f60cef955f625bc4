"""What a ledger is to the rest of the program, and what an engine is to a ledger."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol


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


class Submission(NamedTuple):
    """What one client hands in at the end of a round.

    Attributes:
        client: index of the client, 0..C-1.
        digest: 32 bytes, the digest of its update.
        samples: training examples used.
        metric: training loss in millionths, >= 0.
        refusal: any but NONE keeps the update out of the round's tree; it is recorded as refused.
    """

    client: int
    digest: bytes
    samples: int
    metric: int
    refusal: Refusal = Refusal.NONE

    @property
    def accepted(self) -> bool:
        """Whether it has influence on the model."""
        return self.refusal is Refusal.NONE


class RoundCost(NamedTuple):
    """What one round cost.

    Attributes:
        gas: gas of the round's transactions.
        bytes: length of those signed transactions.
        cpu_ms: CPU time of this thread in ms, Merkle tree and disk included, update digests excluded.
        accepted: updates in the round's tree.
        rejected: updates handed in and kept out of it.
    """

    gas: int
    bytes: int
    cpu_ms: float
    accepted: int
    rejected: int


class Ledger(Protocol):
    """Where a run writes down who contributed what to which model. Rounds count from 1."""

    mode: str

    @property
    def head_hash(self) -> str:
        """Hash of the last block as ``0x...``; empty where there is no chain."""
        ...

    @property
    def blocks(self) -> int:
        """Number of blocks after genesis."""
        ...

    def open_round(self, round: int, cohort: Sequence[int]) -> None:
        """Announce a round and the client indices invited to it, before they train."""
        ...

    def close_round(self, round: int, submissions: Sequence[Submission], model_digest: bytes) -> RoundCost:
        """Commit to the accepted updates and to the 32-byte digest of the model that they led to."""
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


class Engine(Protocol):
    """An EVM with a chain of blocks. Only this knows which implementation executes the contract."""

    @property
    def head_hash(self) -> bytes:
        """32 bytes, the hash of the last block."""
        ...

    @property
    def height(self) -> int:
        """Number of the last block; genesis is 0."""
        ...

    def seal_block(self, calls: Sequence[Call], *, strict: bool = True) -> Applied:
        """Sign, execute and seal. ``strict`` refuses the whole block if a transaction is reverted."""
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


class LogEvent(NamedTuple):
    """A decoded contract event."""

    name: str
    args: dict[str, Any]
