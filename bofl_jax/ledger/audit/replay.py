"""Collects what the events of replayed blocks say: deployment, registry, rounds, synthetic batches and results.

The replay executes the contract, so a transition that the contract forbids is reverted. This module checks what the
contract cannot check: which contract it is, who else sent transactions, and under which configuration.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from bofl_jax.core.errors import VerificationError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger.chain.base import BlockImporter, ExecutedBlock, Receipt
from bofl_jax.ledger.contract.artefact import ContractEvent, load_contract

REGISTRY_EVENTS = {"ClientRegistered", "ClientSuspended", "ClientRevoked", "ClientReadmitted"}
ROUND_EVENTS = {
    "RoundOpened",
    "UpdateAccepted",
    "UpdateRefused",
    "DigestsPublished",
    "RoundCommitted",
    "RoundFinalised",
    "RoundAborted",
}


class IndexedEvent(NamedTuple):
    """An event and the number of the block that contains it."""

    block: int
    event: ContractEvent


@dataclass
class ChainRound:
    """A round as the chain's events describe it.

    Attributes:
        opened: the event that opened it.
        active: addresses of the clients that were active when it was opened.
        gas: gas used by its transactions, and by registry changes right before it.
        updates: the events about single updates, in order.
        reverted: sender -> number of its updates that the contract rejected by a revert.
        published: digests that were published as bare calldata.
        committed: the event of its commitment; None before it.
        finalised: the event of its finalisation; None before it.
        blocks: numbers of the blocks that opened, committed and finalised it.
    """

    opened: ContractEvent
    active: frozenset[str]
    gas: int
    updates: list[ContractEvent] = field(default_factory=list)
    reverted: Counter[str] = field(default_factory=Counter)
    published: list[bytes] = field(default_factory=list)
    committed: ContractEvent | None = None
    finalised: ContractEvent | None = None
    blocks: list[int] = field(default_factory=list)

    @property
    def number(self) -> int:
        """Number of the round on the chain."""
        return int(self.opened.args["round"])


class ChainReplay:
    """The state of a run that the events of its blocks imply.

    Args:
        chain: the chain that replays the blocks.
        address: 20 bytes, the contract's address.
        config_hash: 32 bytes, the hash with which every round must be opened.

    Attributes:
        clients: addresses in the order of the registry.
        rounds: the finalised rounds in order.
        aborted: numbers of the aborted rounds.
        results: number of a global model -> 32 bytes, digest of its results.
        events: all events.
    """

    def __init__(self, chain: BlockImporter, address: bytes, config_hash: bytes) -> None:
        self._chain, self._address, self._config_hash = chain, address, config_hash
        self._contract = load_contract()
        self._round: ChainRound | None = None
        self._active: frozenset[str] = frozenset()
        self._registry_gas = 0  # gas of registry changes since the last round
        self.clients: list[bytes] = []
        self.rounds: list[ChainRound] = []
        self.aborted: list[int] = []
        self.results: dict[int, bytes] = {}
        self.events: list[IndexedEvent] = []

    def add_block(self, block: ExecutedBlock) -> None:
        """Process the next block.

        Raises:
            VerificationError: if it contains something that a run does not do.
        """
        if block.number == 1:
            self._check_deployment(block)
        decoded = [(receipt, self._decode(block.number, receipt)) for receipt in block.receipts]
        names = {event.name for _, events in decoded for event in events}
        gas = sum(receipt.gas_used for receipt in block.receipts)
        if block.number > 2 and names & REGISTRY_EVENTS:
            self._registry_gas += gas
        for receipt, events in decoded:
            self._record_revert(block.number, receipt)
            for event in events:
                self._process(block.number, event)
            self._record_digests(receipt)
        if names & ROUND_EVENTS or not all(receipt.success for receipt in block.receipts):
            self._charge(gas)
        self.events += [IndexedEvent(block.number, event) for _, events in decoded for event in events]

    def finish(self) -> None:
        """Check that the chain may end here.

        Raises:
            VerificationError: if it ends before the registration of the clients, or inside a round.
        """
        if self._chain.height < 2:
            raise VerificationError(f"blocks.rlp ends after block {self._chain.height}, before any round")
        if self._round:
            raise VerificationError(
                f"blocks.rlp ends inside round {self._round.number}: resume that run with --resume, then audit again"
            )

    def _process(self, block: int, event: ContractEvent) -> None:
        if event.name == "RoundOpened":
            self._open(block, event)
        elif event.name in REGISTRY_EVENTS:
            self._change_registry(event)
        elif event.name == "ResultsPublished":
            self.results[event.args["version"]] = event.args["resultsDigest"]
        elif event.name in ROUND_EVENTS and self._round:
            self._continue(self._round, block, event)

    def _open(self, block: int, event: ContractEvent) -> None:
        if event.args["configHash"] != self._config_hash:
            raise VerificationError(f"block {block} opens a round under another configuration")
        self._round = ChainRound(event, self._active, self._registry_gas, blocks=[block])
        self._registry_gas = 0

    def _continue(self, round: ChainRound, block: int, event: ContractEvent) -> None:
        match event.name:
            case "RoundCommitted":
                round.committed = event
                round.blocks.append(block)
            case "RoundFinalised":
                round.finalised = event
                round.blocks.append(block)
            case "RoundAborted":
                self.aborted.append(round.number)
                self._round, self._registry_gas = None, 0
            case _:
                round.updates.append(event)

    def _charge(self, gas: int) -> None:
        """Charge a block's gas to the open round, and close the round if the block finalised it."""
        if self._round:
            self._round.gas += gas
            if self._round.finalised:
                self.rounds.append(self._round)
                self._round = None

    def _change_registry(self, event: ContractEvent) -> None:
        client = event.args["client"]
        if event.name == "ClientRegistered":
            self.clients.append(bytes.fromhex(client[2:]))
        joins = event.name in ("ClientRegistered", "ClientReadmitted")
        self._active = self._active | {client} if joins else self._active - {client}

    def _record_digests(self, receipt: Receipt) -> None:
        if self._round and receipt.success:
            self._round.published += self._contract.decode_last_argument(receipt.data, "publishDigests")

    def _record_revert(self, block: int, receipt: Receipt) -> None:
        """Only an update that a client submits itself may be reverted; it must then be recorded as rejected."""
        if receipt.success:
            return
        if not self._round or self._contract.function_name(receipt.data) != "submitUpdate":
            raise VerificationError(f"block {block} contains a transaction that was reverted")
        self._round.reverted["0x" + receipt.sender.hex()] += 1

    def _decode(self, block: int, receipt: Receipt) -> list[ContractEvent]:
        if block > 1 and receipt.to != self._address:
            raise VerificationError(f"block {block} contains a transaction that is not for the contract")
        return [self._contract.decode_log(log.topics, log.data) for log in receipt.logs]

    def _check_deployment(self, block: ExecutedBlock) -> None:
        if len(block.receipts) != 1 or block.receipts[0].data != self._contract.bytecode:
            raise VerificationError("block 1 does not deploy the contract that the package ships")
        if [log.address for log in block.receipts[0].logs] != [self._address]:  # the only event of the constructor
            raise VerificationError("contract.json names another address than the one block 1 deploys to")
        if self._chain.get_code(self._address) != self._contract.deployed_bytecode:
            raise VerificationError("the code at the contract's address is not the one that the package ships")


def rejected_updates(round: ChainRound) -> list[ContractEvent]:
    """The events of a round's rejected updates."""
    return [event for event in round.updates if event.name == "UpdateRefused"]


def accepted_updates(round: ChainRound) -> dict[str, tuple[bytes, int, int]]:
    """The updates that were accepted on the chain and not withdrawn: address -> digest, samples, metric."""
    accepted: dict[str, tuple[bytes, int, int]] = {}
    for event in round.updates:
        client = event.args.get("client", "")
        if event.name == "UpdateAccepted":
            accepted[client] = (event.args["updateDigest"], event.args["samples"], event.args["metric"])
        elif event.name == "UpdateRefused" and event.args["reason"] >= RejectionReason.DIGEST_MISMATCH:
            accepted.pop(client, None)
    return accepted
