"""What a chain tells: deployment, registry, rounds, synthetic batches, results, from the events of replayed blocks.

Replaying executes the contract, so that a story which the contract forbids cannot be told at all; what is checked here
is what the contract cannot see: which contract it is, who else sent transactions, and under which configuration.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from bofl_jax.core.errors import VerificationError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger.chain.base import Applied, Follower, Outcome
from bofl_jax.ledger.contract.artefact import LogEvent, load_contract

REGISTRY = {"ClientRegistered", "ClientSuspended", "ClientRevoked", "ClientReadmitted"}
ROUND = {
    "RoundOpened",
    "UpdateAccepted",
    "UpdateRefused",
    "DigestsPublished",
    "RoundCommitted",
    "RoundFinalised",
    "RoundAborted",
}


class Told(NamedTuple):
    """One event, and the block that holds it."""

    block: int
    event: LogEvent


@dataclass
class ChainRound:
    """What the chain alone says about a round.

    Attributes:
        opened: its first event.
        active: the addresses that could contribute when it was opened.
        updates: what it says of single updates, in order.
        reverted: senders of updates that the contract refused by a revert, and how often.
        published: the digests that were published as bare calldata.
        committed: the event of its commitment, once there is one.
        finalised: the event of its end, unless it was aborted.
        gas: of its transactions and of changes to the registry before it.
        blocks: the numbers of the blocks that opened, committed and finalised it.
    """

    opened: LogEvent
    active: frozenset[str]
    gas: int
    updates: list[LogEvent] = field(default_factory=list)
    reverted: Counter[str] = field(default_factory=Counter)
    published: list[bytes] = field(default_factory=list)
    committed: LogEvent | None = None
    finalised: LogEvent | None = None
    blocks: list[int] = field(default_factory=list)

    @property
    def number(self) -> int:
        """Its number on the chain."""
        return self.opened.args["round"]


class Story:
    """The story so far.

    Attributes:
        clients: addresses in the order of the registry.
        rounds: the finalised rounds in order.
        aborted: the numbers of the aborted rounds.
        results: global model version -> digest of its results.
        told: every event.
    """

    def __init__(self, follower: Follower, address: bytes, config_hash: bytes) -> None:
        self._follower, self._address, self._config_hash = follower, address, config_hash
        self._contract = load_contract()
        self._round: ChainRound | None = None
        self._active: frozenset[str] = frozenset()
        self._gas = 0  # of changes to the registry since the last round
        self.clients: list[bytes] = []
        self.rounds: list[ChainRound] = []
        self.aborted: list[int] = []
        self.results: dict[int, bytes] = {}
        self.told: list[Told] = []

    def follow(self, block: Applied) -> None:
        """Take in the next block.

        Raises:
            VerificationError: if it is not what a run does.
        """
        if block.number == 1:
            self._deployment(block)
        events = [(outcome, self._events(block.number, outcome)) for outcome in block.outcomes]
        names = {event.name for _, found in events for event in found}
        gas = sum(outcome.gas for outcome in block.outcomes)
        if block.number > 2 and names & REGISTRY:
            self._gas += gas
        for outcome, found in events:
            self._reverts(block.number, outcome)
            for event in found:
                self._take_in(block.number, event)
            self._publish(outcome)
        if names & ROUND or not all(outcome.success for outcome in block.outcomes):
            self._charge(gas)
        self.told += [Told(block.number, event) for _, found in events for event in found]

    def end(self) -> None:
        """No block follows."""
        if self._follower.height < 2:
            raise VerificationError(f"blocks.rlp ends after block {self._follower.height}, before any round")
        if self._round:
            raise VerificationError(
                f"blocks.rlp ends inside round {self._round.number}: go on with that run by --resume, then audit again"
            )

    def _take_in(self, block: int, event: LogEvent) -> None:
        if event.name == "RoundOpened":
            self._open(block, event)
        elif event.name in REGISTRY:
            self._register(event)
        elif event.name == "ResultsPublished":
            self.results[event.args["version"]] = event.args["resultsDigest"]
        elif event.name in ROUND and self._round:
            self._go_on(self._round, block, event)

    def _open(self, block: int, event: LogEvent) -> None:
        if event.args["configHash"] != self._config_hash:
            raise VerificationError(f"block {block} opens a round under another configuration")
        self._round = ChainRound(event, self._active, self._gas, blocks=[block])
        self._gas = 0

    def _go_on(self, round: ChainRound, block: int, event: LogEvent) -> None:
        match event.name:
            case "RoundCommitted":
                round.committed = event
                round.blocks.append(block)
            case "RoundFinalised":
                round.finalised = event
                round.blocks.append(block)
            case "RoundAborted":
                self.aborted.append(round.number)
                self._round, self._gas = None, 0
            case _:
                round.updates.append(event)

    def _charge(self, gas: int) -> None:
        """A block of the round in hand was taken in; it may have been the last."""
        if self._round:
            self._round.gas += gas
            if self._round.finalised:
                self.rounds.append(self._round)
                self._round = None

    def _register(self, event: LogEvent) -> None:
        client = event.args["client"]
        if event.name == "ClientRegistered":
            self.clients.append(bytes.fromhex(client[2:]))
        joins = event.name in ("ClientRegistered", "ClientReadmitted")
        self._active = self._active | {client} if joins else self._active - {client}

    def _publish(self, outcome: Outcome) -> None:
        if self._round and outcome.success:
            self._round.published += self._contract.decode_call(outcome.data, "publishDigests")

    def _reverts(self, block: int, outcome: Outcome) -> None:
        """Only an update that a client sends itself may be refused by a revert, and is then on record."""
        if outcome.success:
            return
        if not self._round or self._contract.function_of(outcome.data) != "submitUpdate":
            raise VerificationError(f"block {block} holds a transaction that was reverted")
        self._round.reverted["0x" + outcome.sender.hex()] += 1

    def _events(self, block: int, outcome: Outcome) -> list[LogEvent]:
        if block > 1 and outcome.to != self._address:
            raise VerificationError(f"block {block} holds a transaction that is not for the contract")
        return [self._contract.decode_log(topics, data) for _, topics, data in outcome.logs]

    def _deployment(self, block: Applied) -> None:
        if len(block.outcomes) != 1 or block.outcomes[0].data != self._contract.bytecode:
            raise VerificationError("block 1 does not deploy the contract that the package ships")
        if [log[0] for log in block.outcomes[0].logs] != [self._address]:  # the constructor's only event
            raise VerificationError("contract.json names another address than the one block 1 deploys to")
        if self._follower.code(self._address) != self._contract.deployed_bytecode:
            raise VerificationError("the code at the contract's address is not the one that the package ships")


def refused(round: ChainRound) -> list[LogEvent]:
    """The round's refused updates."""
    return [event for event in round.updates if event.name == "UpdateRefused"]


def standing_updates(round: ChainRound) -> dict[str, tuple[bytes, int, int]]:
    """What clients handed in on chain and was not withdrawn: address -> digest, samples, metric."""
    standing: dict[str, tuple[bytes, int, int]] = {}
    for event in round.updates:
        client = event.args.get("client", "")
        if event.name == "UpdateAccepted":
            standing[client] = (event.args["updateDigest"], event.args["samples"], event.args["metric"])
        elif event.name == "UpdateRefused" and event.args["reason"] >= RejectionReason.DIGEST_MISMATCH:
            standing.pop(client, None)
    return standing
