"""The protocols of an Ethereum chain: a reader that imports blocks, and a producer that also seals them."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


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
