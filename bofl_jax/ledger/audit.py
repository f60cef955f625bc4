"""Replaying a run's chain in a fresh EVM and checking every claim that the ledger's files make.

The audit trusts nothing but this package: it has no keys, and takes from the files only what it has checked. What it
cannot know is that a whole round is missing from the end: compare its head hash with the one in the run's summary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger import merkle
from bofl_jax.ledger.base import Applied, Engine, LogEvent, Refusal
from bofl_jax.ledger.leaves import RoundLeaves, read_leaves, totals

UPDATES = {"UpdateAccepted", "UpdateRefused", "DigestsPublished"}
WITHDRAWING = (Refusal.DIGEST_MISMATCH, Refusal.NOT_FINITE)


@dataclass(frozen=True)
class AuditedRound:
    """One round, checked.

    Attributes:
        round: its number, from 1.
        root: 32 bytes, the committed root.
        count: contributing clients.
        model_digest: 32 bytes, of the global model after the round.
        samples: training examples of all contributors.
        gas: gas of its transactions.
    """

    round: int
    root: bytes
    count: int
    model_digest: bytes
    samples: int
    gas: int


@dataclass(frozen=True)
class ChainAudit:
    """What an audit found to hold.

    Attributes:
        blocks: number of blocks after genesis.
        rounds: the rounds in order.
        head_hash: hash of the last block as ``0x...``.
        final_model_digest: 32 bytes, of the last round's model; empty before the first round.
        config_hash: 32 bytes, SHA-256 of the configuration.
        clients: registered clients.
    """

    blocks: int
    rounds: list[AuditedRound]
    head_hash: str
    final_model_digest: bytes
    config_hash: bytes
    clients: int


class ChainRound(NamedTuple):
    """What the chain alone says about a round: its events in order, the digests published in calldata, its gas."""

    opened: LogEvent
    updates: list[LogEvent]
    committed: LogEvent
    finalised: LogEvent
    published: list[bytes]
    gas: int


def audit_chain(directory: Path) -> ChainAudit:
    """Check the ledger of a run directory.

    Every block: decoding, seal, authority in turn, header rules, re-execution, all roots. The contract: the deployed
    code is the package's. The rounds: strict order, one configuration, none left open. Every client's leaf: registered,
    in the round's cohort, under the committed root by its own proof; the first and last of a round also through the
    contract's own check.

    Raises:
        VerificationError: naming the first thing that does not hold.
    """
    from bofl_jax.ledger.blocklog import read_blocks
    from bofl_jax.ledger.chain import PyEvmEngine
    from bofl_jax.ledger.folder import files_of, read_contract
    from bofl_jax.ledger.genesis import read_genesis

    files = files_of(directory)
    genesis, genesis_hash = read_genesis(files.genesis)
    engine = PyEvmEngine(genesis)
    if engine.head_hash != genesis_hash:
        raise VerificationError("genesis.json does not hold: block 0 has another hash than it says")
    story = _Story(engine, read_contract(files.contract), genesis.config_hash)
    for raw in read_blocks(files.blocks):
        story.follow(engine.import_block(raw))
    story.end()
    records = read_leaves(files.leaves)
    if len(records) != len(story.rounds):
        raise VerificationError(f"leaves.jsonl has {len(records)} rounds, the chain has {len(story.rounds)}")
    rounds = [story.audit_round(*pair) for pair in zip(story.rounds, records, strict=True)]
    final = rounds[-1].model_digest if rounds else b""
    head = "0x" + engine.head_hash.hex()
    return ChainAudit(engine.height, rounds, head, final, genesis.config_hash, len(story.clients))


class _Story:
    """What happened on the chain, block by block: deployment, registration, then two blocks a round."""

    def __init__(self, engine: Engine, address: bytes, config_hash: bytes) -> None:
        from bofl_jax.ledger.contract import load_contract

        self._engine, self._address, self._config_hash = engine, address, config_hash
        self._contract = load_contract()
        self._blocks: list[Applied] = []  # of the round in hand
        self._events_so_far: list[LogEvent] = []
        self.clients: list[bytes] = []
        self.rounds: list[ChainRound] = []

    def follow(self, block: Applied) -> None:
        """Take in the next block."""
        if block.number == 1:
            self._deployment(block)
            return
        events = self._events(block)
        names = {event.name for event in events}
        if block.number == 2 and names == {"RoleGranted", "ClientRegistered"}:
            registered = (event for event in events if event.name == "ClientRegistered")
            self.clients = [bytes.fromhex(event.args["client"][2:]) for event in registered]
        elif self._fits(events):
            self._take_in(block, events)
        else:
            raise VerificationError(f"block {block.number} is out of order: it holds {', '.join(names) or 'no event'}")

    def _fits(self, events: list[LogEvent]) -> bool:
        """May a block with these events follow? A round is opened, its updates are recorded, then it is closed."""
        names = [event.name for event in events]
        if names == ["RoundOpened"]:
            return not self._blocks
        closing = names in (["RoundCommitted", "RoundFinalised"], ["RoundAborted"])
        recording = bool(names) and set(names) <= UPDATES and len(self._blocks) == 1
        return bool(self._blocks) and (closing or recording)

    def _take_in(self, block: Applied, events: list[LogEvent]) -> None:
        if events[0].name == "RoundOpened" and events[0].args["configHash"] != self._config_hash:
            raise VerificationError(f"block {block.number} opens a round under another configuration")
        self._blocks.append(block)
        self._events_so_far += events
        if events[-1].name == "RoundFinalised":
            self.rounds.append(self._finished())
        if events[-1].name in ("RoundFinalised", "RoundAborted"):
            self._blocks, self._events_so_far = [], []

    def _finished(self) -> ChainRound:
        opened, *updates, committed, finalised = self._events_so_far
        published = [
            digest
            for block in self._blocks
            for outcome in block.outcomes
            for digest in self._contract.decode_call(outcome.data, "publishDigests")
        ]
        gas = sum(outcome.gas for block in self._blocks for outcome in block.outcomes)
        return ChainRound(opened, updates, committed, finalised, published, gas)

    def end(self) -> None:
        """No block follows."""
        if self._engine.height < 2:
            raise VerificationError(f"the block log ends after block {self._engine.height}, before any round")
        if self._blocks:
            raise VerificationError(f"the block log ends inside round {self._events_so_far[0].args['round']}")

    def audit_round(self, chain: ChainRound, record: RoundLeaves) -> AuditedRound:
        """Hold a round's leaves against what the chain committed to."""
        number = chain.opened.args["round"]
        self._audit_cohort(chain, record)
        self._audit_leaves(chain, record)
        _audit_updates(chain, record)
        samples = sum(leaf.samples for leaf in record.leaves)
        digest = chain.finalised.args["modelDigest"]
        return AuditedRound(number, record.root, len(record.leaves), digest, samples, chain.gas)

    def _deployment(self, block: Applied) -> None:
        from bofl_jax.ledger.contract import deployed_address

        if len(block.outcomes) != 1 or block.outcomes[0].data != self._contract.bytecode:
            raise VerificationError("block 1 does not deploy the contract that the package ships")
        if deployed_address(block.outcomes[0].sender, 0) != self._address:
            raise VerificationError("contract.json names another address than the one block 1 deploys to")
        if self._engine.code(self._address) != self._contract.deployed_bytecode:
            raise VerificationError("the code at the contract's address is not the one that the package ships")

    def _events(self, block: Applied) -> list[LogEvent]:
        for index, outcome in enumerate(block.outcomes):
            if outcome.to != self._address:
                raise VerificationError(f"block {block.number}, transaction {index} is not for the contract")
            if not outcome.success:
                raise VerificationError(f"block {block.number}, transaction {index} was reverted")
        logs = [log for outcome in block.outcomes for log in outcome.logs]
        return [self._contract.decode_log(topics, data) for _, topics, data in logs]

    def _audit_cohort(self, chain: ChainRound, record: RoundLeaves) -> None:
        from bofl_jax.ledger.governed import cohort_digest

        number, opened = record.round, chain.opened.args
        if not all(0 <= client < len(self.clients) for client in record.cohort):
            raise VerificationError(f"round {number}: the cohort names a client that is not registered")
        digest = cohort_digest(self.clients, record.cohort)
        if (digest, len(record.cohort)) != (opened["cohortDigest"], opened["cohortSize"]):
            raise VerificationError(f"round {number}: the cohort in leaves.jsonl is not the one on the chain")

    def _audit_leaves(self, chain: ChainRound, record: RoundLeaves) -> None:
        number, committed = record.round, chain.committed.args
        _audit_contributors(record, self.clients)
        if (record.root, len(record.leaves)) != (committed["root"], committed["count"]):
            raise VerificationError(f"round {number}: root or count in leaves.jsonl is not the committed one")
        if not record.leaves:
            return
        try:
            tree = merkle.levels(record.leaves)
        except ValueError as error:
            raise VerificationError(f"round {number}: {error}") from error
        for index, leaf in enumerate(record.leaves):
            if not merkle.verify(record.root, len(record.leaves), index, leaf, merkle.proof(tree, index)):
                raise VerificationError(f"round {number}: the proof of client {record.clients[index]} does not hold")
        if totals(record.leaves) != (committed["samples"], committed["metric"]):
            raise VerificationError(f"round {number}: the committed samples or metric are not those of the leaves")
        for index in {0, len(record.leaves) - 1}:
            self._prove_on_chain(index, record.leaves[index], merkle.proof(tree, index))

    def _prove_on_chain(self, index: int, leaf: merkle.Leaf, proof: Sequence[bytes]) -> None:
        client, *rest = leaf[1:]
        data = self._contract.encode("verifyInclusion", leaf.round, index, client, *rest, proof)
        success, output = self._engine.view(self._address, data)
        if not success or not self._contract.decode_output("verifyInclusion", output)[0]:
            raise VerificationError(f"round {leaf.round}: the contract does not accept the proof of leaf {index}")


def _audit_contributors(record: RoundLeaves, clients: Sequence[bytes]) -> None:
    """Every leaf is of a client of the cohort, in ascending order, hence once, and under that client's address."""
    if list(record.clients) != sorted(set(record.clients)):
        raise VerificationError(f"round {record.round}: the leaves are not in ascending order of their clients")
    if not set(record.clients) <= set(record.cohort):
        raise VerificationError(f"round {record.round}: a client outside the cohort contributed")
    for client, leaf in zip(record.clients, record.leaves, strict=True):
        if clients[client] != leaf.client:
            raise VerificationError(f"round {record.round}: client {client} has another address on the chain")


def _audit_updates(chain: ChainRound, record: RoundLeaves) -> None:
    """Where updates went on chain themselves, they are those under the root: no more, no fewer, no others."""
    number, standing = record.round, {}
    for event in chain.updates:
        if event.name == "UpdateAccepted":
            fields = ("updateDigest", "samples", "metric")
            standing[event.args["client"]] = tuple(event.args[name] for name in fields)
        elif event.name == "UpdateRefused" and event.args["reason"] in WITHDRAWING:
            standing.pop(event.args["client"], None)
    heard = any(event.name == "UpdateAccepted" for event in chain.updates)
    if heard and standing != {"0x" + leaf.client.hex(): tuple(leaf[2:]) for leaf in record.leaves}:
        raise VerificationError(f"round {number}: the leaves are not the updates that clients handed in on chain")
    if chain.published and chain.published != [leaf.update_digest for leaf in record.leaves]:
        raise VerificationError(f"round {number}: the leaves are not the digests that were published on chain")
