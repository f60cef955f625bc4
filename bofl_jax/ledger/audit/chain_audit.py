"""Replaying a run's chain in a fresh EVM and checking every claim that the ledger's files make.

The audit trusts nothing but this package: it has no keys, and takes from the files only what it has checked. What it
cannot know is that whole rounds are missing from the end: compare its head hash with the one in the run's summary.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger import merkle
from bofl_jax.ledger.chain.base import Applied, Follower

if TYPE_CHECKING:
    from bofl_jax.ledger.audit.replay import ChainRound, Story, Told
    from bofl_jax.ledger.chain.genesis import Anchor, Genesis
    from bofl_jax.ledger.storage.leaves import RoundLeaves

SecondEngine = Literal["eels"]


@dataclass(frozen=True)
class AuditedRound:
    """One finalised round, checked.

    Attributes:
        round: its number on the chain; aborted rounds have numbers too.
        version: the number of the global model it led to, from 1.
        root: 32 bytes, the committed root.
        count: contributing clients.
        refused: updates that were refused.
        model_digest: 32 bytes, of the global model after the round.
        samples: training examples of all contributors.
        metric: their mean training loss in millionths.
        gas: gas of its transactions.
        record: its leaves.
        blocks: the blocks that opened, committed and finalised it.
    """

    round: int
    version: int
    root: bytes
    count: int
    refused: int
    model_digest: bytes
    samples: int
    metric: int
    gas: int
    record: "RoundLeaves" = field(compare=False, repr=False)
    blocks: tuple[int, ...]


@dataclass(frozen=True)
class ChainAudit:
    """What an audit found to hold.

    Attributes:
        blocks: number of blocks after genesis.
        rounds: the finalised rounds in order.
        aborted: numbers of the aborted rounds.
        head_hash: hash of the last block as ``0x...``.
        config_hash: 32 bytes, SHA-256 of the configuration.
        registry: the clients' addresses, 20 bytes each, in the order of their registration.
        results: global model version -> 32 bytes, the digest of its results.
        told: every event of the chain.
        engines: the EVMs that replayed it.
        genesis: block 0.
        address: 20 bytes, where the contract stands.
        log: the raw blocks.
        receipts: block number -> its encoded receipts; None where a node keeps the chain.
    """

    blocks: int
    rounds: list[AuditedRound]
    aborted: list[int]
    head_hash: str
    config_hash: bytes
    registry: list[bytes]
    results: dict[int, bytes]
    told: "list[Told]"
    engines: tuple[str, ...]
    genesis: "Genesis | Anchor"
    address: bytes
    log: list[bytes] = field(repr=False)
    receipts: Callable[[int], list[bytes]] | None = field(compare=False, repr=False)

    @property
    def final_model_digest(self) -> bytes:
        """32 bytes, of the last global model; empty before the first one."""
        return self.rounds[-1].model_digest if self.rounds else b""

    @property
    def clients(self) -> int:
        """How many clients are registered."""
        return len(self.registry)


def audit_chain(directory: Path, second: SecondEngine | None = None, node: str | None = None) -> ChainAudit:
    """Check the ledger of a run directory.

    Every block: decoding, seal, authority in turn, header rules, re-execution, all roots. The contract: the deployed
    code is the package's. The rounds: strict order, one configuration, none left open. Every client's leaf: of an
    active client of the round's cohort, under the committed root by its own proof; the first and last of a round also
    through the contract's own check.

    Args:
        directory: the run directory.
        second: another EVM that has to come to the same gas, logs and state roots.
        node: the Ethereum node that keeps the chain, for a run that was made on one: then its word on what the
            transactions did is taken, and every transaction is fetched and its signature checked.

    Raises:
        VerificationError: naming the first thing that does not hold.
        BoflError: if the second EVM is not installed, or the node cannot be reached.
    """
    from bofl_jax.ledger.audit.replay import Story
    from bofl_jax.ledger.contract.artefact import read_contract
    from bofl_jax.ledger.storage.block_log import read_blocks
    from bofl_jax.ledger.storage.layout import files_of
    from bofl_jax.ledger.storage.leaves import read_leaves

    files = files_of(directory)
    engine: Follower
    genesis: Genesis | Anchor
    engine, genesis = _on_network(files.genesis, node) if node else _own_chain(files.genesis)
    other = second_engine(second, genesis) if second else None
    address, log = read_contract(files.contract), list(read_blocks(files.blocks))
    story = Story(engine, address, genesis.config_hash)
    _replay(log, engine, other, story)
    records = read_leaves(files.leaves)
    if len(records) != len(story.rounds):
        raise VerificationError(f"leaves.rlp has {len(records)} rounds, the chain has {len(story.rounds)}")
    hold = _Rounds(engine, address, story.clients)
    return ChainAudit(
        blocks=engine.height,
        rounds=[hold.audit(*pair) for pair in zip(story.rounds, records, strict=True)],
        aborted=story.aborted,
        head_hash="0x" + engine.head_hash.hex(),
        config_hash=genesis.config_hash,
        registry=story.clients,
        results=story.results,
        told=story.told,
        engines=tuple(name for name in (node or "py-evm", second) if name),
        genesis=genesis,
        address=address,
        log=log,
        receipts=getattr(engine, "receipts", None),
    )


def _own_chain(path: Path) -> "tuple[Follower, Genesis]":
    from bofl_jax.ledger.chain.genesis import read_genesis
    from bofl_jax.ledger.chain.py_evm import PyEvmEngine

    genesis, genesis_hash = read_genesis(path)
    engine = PyEvmEngine(genesis)
    if engine.head_hash != genesis_hash:
        raise VerificationError("genesis.json does not hold: block 0 has another hash than it says")
    return engine, genesis


def _on_network(path: Path, node: str) -> "tuple[Follower, Anchor]":
    from bofl_jax.ledger.chain.genesis import read_anchor
    from bofl_jax.ledger.factory import node_engine

    anchor, engine = read_anchor(path), node_engine(node)
    if (engine.chain_id, engine.head_hash) != anchor[1:]:
        raise VerificationError(f"the node at {node} is on another network than genesis.json says")
    return engine, anchor


def second_engine(name: SecondEngine, genesis: "Genesis | Anchor") -> Follower:
    """Another EVM on a fresh chain.

    Raises:
        BoflError: if it is not installed, or the chain does not begin with the genesis.
    """
    from bofl_jax.ledger.chain.genesis import Genesis

    if not isinstance(genesis, Genesis):
        raise BoflError(f"--engine {name} replays a chain from its first block: a run on a node has none of its own")
    try:
        from bofl_jax.ledger.chain.eels import EelsEngine
    except ImportError as error:
        raise BoflError(
            f"the engine {name} is not installed ({error.name}): pip install 'bofl_jax[audit]' on Python 3.11 or 3.12"
        ) from None
    return EelsEngine(genesis)


def _replay(log: Sequence[bytes], engine: Follower, other: Follower | None, story: "Story") -> None:
    for raw in log:
        block = engine.import_block(raw)
        if other:
            _compare(block, other.import_block(raw))
        story.follow(block)
    story.end()


def _compare(first: Applied, second: Applied) -> None:
    """Both EVMs agree on every transaction; that they agree on the state root, each has checked against the header."""
    for index, (ours, theirs) in enumerate(zip(first.outcomes, second.outcomes, strict=True)):
        if ours != theirs:
            field = next(name for name in ours._fields if getattr(ours, name) != getattr(theirs, name))
            raise VerificationError(f"block {first.number}, transaction {index}: the two EVMs differ in {field}")


class _Rounds:
    """Holds the rounds' leaves against what the chain says."""

    def __init__(self, engine: Follower, address: bytes, clients: Sequence[bytes]) -> None:
        from bofl_jax.ledger.contract.artefact import load_contract

        self._engine, self._address = engine, address
        self._contract = load_contract()
        self._addresses = np.frombuffer(b"".join(clients), np.uint8).reshape(-1, 20)

    def audit(self, chain: "ChainRound", record: "RoundLeaves") -> AuditedRound:
        """One round."""
        from bofl_jax.ledger.audit.replay import refused

        committed, finalised = chain.committed, chain.finalised
        assert committed  # by the contract
        assert finalised
        if record.round != chain.number:
            raise VerificationError(f"leaves.rlp: model {finalised.args['version']} is not of round {record.round}")
        self._audit_cohort(chain, record)
        self._audit_contributors(chain, record)
        self._audit_leaves(committed.args, record)
        _audit_updates(chain, record)
        return AuditedRound(
            round=chain.number,
            version=finalised.args["version"],
            root=record.root,
            count=len(record.leaves),
            refused=len(refused(chain)),
            model_digest=finalised.args["modelDigest"],
            samples=committed.args["samples"],
            metric=committed.args["metric"],
            gas=chain.gas,
            record=record,
            blocks=tuple(chain.blocks),
        )

    def _audit_cohort(self, chain: "ChainRound", record: "RoundLeaves") -> None:
        from bofl_jax.ledger.contract_ledger import cohort_digest

        number, opened = record.round, chain.opened.args
        if len(record.cohort) and record.cohort.max() >= len(self._addresses):
            raise VerificationError(f"round {number}: the cohort names a client that is not registered")
        digest = cohort_digest(self._addresses, record.cohort)
        if (digest, len(record.cohort)) != (opened["cohortDigest"], opened["cohortSize"]):
            raise VerificationError(f"round {number}: the cohort in leaves.rlp is not the one on the chain")

    def _audit_contributors(self, chain: "ChainRound", record: "RoundLeaves") -> None:
        """Every leaf is of an active client of the cohort, in ascending order, hence once, under its address."""
        number, clients = record.round, record.clients
        if len(clients) != len(record.leaves) or (np.diff(clients) <= 0).any():
            raise VerificationError(f"round {number}: the leaves are not one a client, in ascending order")
        if not np.isin(clients, record.cohort).all():
            raise VerificationError(f"round {number}: a client outside the cohort contributed")
        inactive = [c for c in clients if "0x" + self._addresses[c].tobytes().hex() not in chain.active]
        if inactive:
            raise VerificationError(f"round {number}: client {inactive[0]} contributed without being active")
        for row in np.flatnonzero(record.leaves["client"] != self._addresses[clients].view("V20").reshape(-1)):
            raise VerificationError(f"round {number}: client {clients[row]} has another address on the chain")

    def _audit_leaves(self, committed: dict, record: "RoundLeaves") -> None:
        from bofl_jax.ledger.storage.leaves import totals

        number, leaves = record.round, record.leaves
        if (record.root, len(leaves)) != (committed["root"], committed["count"]):
            raise VerificationError(f"round {number}: root or count in leaves.rlp is not the committed one")
        if not len(leaves):
            return
        if (leaves["round"] != number).any() or leaves["tag"].any():
            raise VerificationError(f"round {number}: a leaf in leaves.rlp is of another round")
        tree = merkle.levels(leaves)
        for index in range(len(leaves)):
            leaf = merkle.leaf_at(leaves, index)
            if not merkle.verify(record.root, len(leaves), index, leaf, merkle.proof(tree, index)):
                raise VerificationError(f"round {number}: the proof of client {record.clients[index]} does not hold")
        if totals(leaves) != (committed["samples"], committed["metric"]):
            raise VerificationError(f"round {number}: the committed samples or metric are not those of the leaves")
        for index in {0, len(leaves) - 1}:
            self._prove_on_chain(index, merkle.leaf_at(leaves, index), merkle.proof(tree, index))

    def _prove_on_chain(self, index: int, leaf: merkle.Leaf, proof: Sequence[bytes]) -> None:
        data = self._contract.encode("verifyInclusion", leaf.round, index, *leaf[1:], proof)
        success, output = self._engine.view(self._address, data)
        if not success or not self._contract.decode_output("verifyInclusion", output)[0]:
            raise VerificationError(f"round {leaf.round}: the contract does not accept the proof of leaf {index}")


def _audit_updates(chain: "ChainRound", record: "RoundLeaves") -> None:
    """Where updates went on chain themselves, they are those under the root: no more, no fewer, no others."""
    from bofl_jax.ledger.audit.replay import refused, standing_updates

    number, leaves = record.round, [merkle.leaf_at(record.leaves, index) for index in range(len(record.leaves))]
    heard = any(event.name == "UpdateAccepted" for event in chain.updates)
    if heard and standing_updates(chain) != {"0x" + leaf.client.hex(): tuple(leaf[2:]) for leaf in leaves}:
        raise VerificationError(f"round {number}: the leaves are not the updates that clients handed in on chain")
    if chain.published and chain.published != [leaf.update_digest for leaf in leaves]:
        raise VerificationError(f"round {number}: the leaves are not the digests that were published on chain")
    recorded = Counter(e.args["client"] for e in refused(chain) if e.args["reason"] < RejectionReason.DIGEST_MISMATCH)
    if chain.reverted - recorded:
        raise VerificationError(f"round {number}: an update was refused by the contract and is not on record")
