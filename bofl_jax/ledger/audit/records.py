"""The results of an audit: the checked rounds and everything else that the chain proves."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bofl_jax.ledger.audit.replay import IndexedEvent
    from bofl_jax.ledger.chain.base import EncodedReceipts
    from bofl_jax.ledger.chain.genesis import Genesis, NetworkGenesis
    from bofl_jax.ledger.storage.leaves import RoundLeaves


@dataclass(frozen=True)
class AuditedRound:
    """A finalised round that was checked.

    Attributes:
        round: number of the round on the chain; aborted rounds have numbers too.
        version: number of the resulting global model, from 1.
        root: 32 bytes, the committed Merkle root.
        count: number of contributing clients.
        rejected: number of rejected updates.
        model_digest: 32 bytes, digest of the global model after the round.
        samples: total number of training samples of all contributors.
        metric: their mean training loss in millionths.
        gas: gas used by the round's transactions.
        record: the leaves of its Merkle tree.
        blocks: numbers of the blocks that opened, committed and finalised it.
    """

    round: int
    version: int
    root: bytes
    count: int
    rejected: int
    model_digest: bytes
    samples: int
    metric: int
    gas: int
    record: "RoundLeaves" = field(compare=False, repr=False)
    blocks: tuple[int, ...]


@dataclass(frozen=True)
class ChainAudit:
    """A chain that was checked.

    Attributes:
        blocks: number of blocks after the genesis block.
        rounds: the finalised rounds in order.
        aborted: numbers of the aborted rounds.
        head_hash: hash of the last block as ``0x...``.
        config_hash: 32 bytes, SHA-256 of the configuration.
        registry: addresses of the clients, 20 bytes each, in the order of their registration.
        results: number of a global model -> 32 bytes, digest of its results.
        events: all events of the chain.
        engines: names of the EVMs that replayed it.
        genesis: content of the genesis block, or the network that keeps the chain.
        address: 20 bytes, the contract's address.
        raw_blocks: RLP bytes of the blocks.
        encoded_receipts: access to the receipts by block number; None if a node keeps the chain.
    """

    blocks: int
    rounds: list[AuditedRound]
    aborted: list[int]
    head_hash: str
    config_hash: bytes
    registry: list[bytes]
    results: dict[int, bytes]
    events: "list[IndexedEvent]"
    engines: tuple[str, ...]
    genesis: "Genesis | NetworkGenesis"
    address: bytes
    raw_blocks: list[bytes] = field(repr=False)
    encoded_receipts: "EncodedReceipts | None" = field(compare=False, repr=False)

    @property
    def final_model_digest(self) -> bytes:
        """32 bytes, digest of the last global model; empty before the first one."""
        return self.rounds[-1].model_digest if self.rounds else b""

    @property
    def clients(self) -> int:
        """Number of registered clients."""
        return len(self.registry)
