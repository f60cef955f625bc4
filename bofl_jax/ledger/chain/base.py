"""The protocols of an Ethereum chain: an importer that checks blocks, and a producer that also seals them."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Log(NamedTuple):
    """An event as a contract emits it.

    Attributes:
        address: 20 bytes, the contract.
        topics: 32 bytes each, the hash of the event's signature and its indexed arguments.
        data: the encoded other arguments.
    """

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class Receipt(NamedTuple):
    """The outcome of one transaction.

    Attributes:
        sender: 20 bytes.
        to: 20 bytes; empty for a deployment.
        data: the calldata.
        success: False if the transaction was reverted.
        output: the returned bytes, or the encoded error of a revert; known only to the chain that sealed the block.
        gas_used: gas used.
        size: length of the signed transaction in bytes.
        logs: the events.
    """

    sender: bytes
    to: bytes
    data: bytes
    success: bool
    output: bytes
    gas_used: int
    size: int
    logs: tuple[Log, ...]


class ExecutedBlock(NamedTuple):
    """A block of the chain: its number, its RLP bytes and the receipts of its transactions."""

    number: int
    raw: bytes
    receipts: tuple[Receipt, ...]


class TransactionRequest(NamedTuple):
    """A transaction that is not signed yet.

    Attributes:
        key: 32 bytes, the sender's private key.
        to: 20 bytes, the receiver; empty to deploy a contract.
        data: the calldata.
        gas: the gas limit.
    """

    key: bytes
    to: bytes
    data: bytes
    gas: int


class BlockImporter(Protocol):
    """A chain that checks and executes given blocks. It hides which EVM implementation executes the contract."""

    @property
    def chain_id(self) -> int:
        """Id of the chain that transactions and EIP-712 data are signed for."""
        ...

    @property
    def head_hash(self) -> bytes:
        """32 bytes, the hash of the last block."""
        ...

    @property
    def height(self) -> int:
        """Number of the last block; the genesis block is 0."""
        ...

    def import_block(self, raw: bytes) -> ExecutedBlock:
        """Check a block in full and append it to the chain.

        Raises:
            VerificationError: if it is not a valid child of the head; the chain is unchanged.
        """
        ...

    def eth_call(self, to: bytes, data: bytes) -> tuple[bool, bytes]:
        """Call a contract without a transaction.

        Args:
            to: 20 bytes, the contract.
            data: the calldata.

        Returns:
            Whether the call succeeded, and its output or encoded error.
        """
        ...

    def get_code(self, address: bytes) -> bytes:
        """The contract code at a 20-byte address; empty if there is none."""
        ...


class BlockProducer(BlockImporter, Protocol):
    """A chain that also produces blocks."""

    def seal_block(self, requests: Sequence[TransactionRequest], *, strict: bool = True) -> ExecutedBlock:
        """Sign and execute transactions, and seal a block of them.

        Args:
            requests: the transactions in order.
            strict: whether a reverted transaction drops the whole block.

        Raises:
            TransactionRevertedError: if ``strict`` and a transaction was reverted; the chain is unchanged.
        """
        ...


class EncodedReceipts(Protocol):
    """Access to the receipts of a chain's blocks."""

    def __call__(self, number: int) -> Sequence[bytes]:
        """The encoded receipts of the block with this number, as in the trie under its header's receipt root."""
        ...


class TransactionRevertedError(Exception):
    """A transaction was reverted and its block dropped.

    Attributes:
        index: position of the transaction in the block.
        output: the encoded error.
    """

    def __init__(self, index: int, output: bytes) -> None:
        super().__init__(index, output)
        self.index, self.output = index, output
