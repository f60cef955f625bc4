"""A proof that one client contributed one update to one round, which a stranger can check without the run.

The file is one JSON document with the claim in plain words and hexadecimal, and the evidence for it:

* the headers of blocks 1 .. n, where n is the block that finalised the round, each sealed by the authority in turn;
* the transaction with which block 1 begins and which deploys the contract that this package ships;
* the receipts with the events ``RoundOpened``, ``RoundCommitted`` and ``RoundFinalised`` of the round, each tied by a
  Merkle-Patricia proof to its header (Wood, Ethereum: a secure decentralised generalised transaction ledger, 2014);
* the SHA-256 path from the client's leaf to the root that the round committed to (see `bofl_jax.ledger.merkle`).

Checking takes no EVM and no other client's data. Every byte of the file counts: it has one canonical form, and whatever
stands in it is either evidence or follows from evidence. A header is 0.7 kB, or 1.4 kB of JSON, the deployment 38 kB of
JSON, the rest 5 kB: 0.47 MB for a chain of 300 blocks.

What it says: if the genesis hash is the one you know from elsewhere, then the authorities named in that block sealed a
chain on which the contract committed the round to a tree with this leaf, under this configuration, and then finalised
the round with this model.

What it does not say: that the blocks were executed honestly. The roots of receipts are taken from the authorities, not
computed anew; to check the execution, audit the whole run. Nor that the client itself handed the update in: a leaf is
the aggregator's word, except in the ledger modes where clients sign. Nor that this chain is the only one its
authorities sealed, or what became of it after block n.

Importing this imports py-evm.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import rlp
from eth.abc import BlockHeaderAPI
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth_hash.auto import keccak
from trie import HexaryTrie
from trie.exceptions import MissingTrieNode

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.core.parsing import parse_json
from bofl_jax.ledger import merkle
from bofl_jax.ledger.chain.genesis import Genesis, genesis_fields, parse_extra_data, read_genesis
from bofl_jax.ledger.chain.proof_of_authority import check_header, genesis_header
from bofl_jax.ledger.chain.trie_fast import trie_root_and_nodes
from bofl_jax.ledger.contract.artefact import deployed_address, load_contract

KIND = "bofl_jax contribution proof"
VERSION = 1
EVENTS = ("RoundOpened", "RoundCommitted", "RoundFinalised")
ASK_AGAIN = "ask whoever made the proof for the file again"


@dataclass(frozen=True)
class Claim:
    """Who contributed what to which model, on which chain.

    Attributes:
        genesis_hash: 32 bytes, names the chain; the one thing to know from elsewhere.
        head_hash: 32 bytes, hash of the block that finalised the round.
        contract: 20 bytes, the contract's address.
        config_hash: 32 bytes, SHA-256 of the run's configuration.
        round: number of the round on the chain, from 1; aborted rounds count.
        version: number of the global model that the round led to, from 1.
        model_digest: 32 bytes, digest of that model.
        count: contributing clients.
        index: position of this one's leaf among them, from 0.
        client: 20 bytes, its address.
        update_digest: 32 bytes, digest of its update.
        samples: training examples it used.
        metric: its training loss in millionths.
    """

    genesis_hash: bytes
    head_hash: bytes
    contract: bytes
    config_hash: bytes
    round: int
    version: int
    model_digest: bytes
    count: int
    index: int
    client: bytes
    update_digest: bytes
    samples: int
    metric: int

    @property
    def leaf(self) -> merkle.Leaf:
        """What stands in the round's tree."""
        return merkle.Leaf(self.round, self.client, self.update_digest, self.samples, self.metric)


class _Log(NamedTuple):
    """Where an event is found, and the trie nodes from the block's receipt root down to its receipt."""

    block: int
    transaction: int
    log: int
    nodes: tuple[bytes, ...]


class _Evidence(NamedTuple):
    """All of the file but the claim."""

    genesis: Genesis
    genesis_hash: bytes
    path: tuple[bytes, ...]
    events: tuple[_Log, ...]  # in the order of EVENTS
    deployment: tuple[bytes, ...]  # trie nodes from block 1's transaction root down to its first transaction
    headers: tuple[bytes, ...]


def prove(
    genesis: Genesis,
    address: bytes,
    blocks: Sequence[bytes],
    receipts: Callable[[int], Sequence[bytes]],
    leaf: merkle.Leaf,
    index: int,
    path: Sequence[bytes],
) -> str:
    """The text of a proof, checked before it is returned.

    Args:
        genesis: block 0.
        address: 20 bytes, the contract's address.
        blocks: the blocks 1, 2, ... as they stand in the block log; those behind the round's end are left out.
        receipts: gives the encoded receipts of the block with a number, as they stand in its receipt trie.
        leaf: the client's contribution; its round is the number on the chain.
        index: the leaf's position in the round's tree, from 0.
        path: the sibling hashes from the leaf up to the root, as `merkle.proof` gives them.

    Raises:
        BoflError: if the round was not finalised on this chain.
        VerificationError: if the arguments do not prove the leaf.
    """
    events = _find_events(address, len(blocks), receipts, leaf.round)
    deployment = _nodes([rlp.encode(transaction) for transaction in rlp.decode(blocks[0])[1]], 0)
    headers = tuple(rlp.encode(rlp.decode(raw)[0]) for raw in blocks[: events[-1].block])
    evidence = _Evidence(genesis, genesis_header(genesis).hash, tuple(path), events, deployment, headers)
    facts, root = _facts(evidence, leaf.round)
    claim = Claim(**facts, **leaf._asdict(), index=index)
    _check_leaf(claim, root, evidence.path)
    return _text(claim, evidence)


def write_proof(path: Path, text: str) -> None:
    """Write what `prove` returned: the whole file or none.

    Raises:
        BoflError: if there is such a file already, or it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with partial.open("wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)  # unlike a renaming, this never replaces a file
        finally:
            partial.unlink(missing_ok=True)
    except FileExistsError as error:
        raise BoflError(f"{path} exists already: choose another name for the proof") from error
    except OSError as error:
        raise BoflError(f"{path} cannot be written ({error.strerror}): choose another place for the proof") from error


def verify_proof(path: Path, trusted_genesis: Path | None = None) -> Claim:
    """Check a proof file.

    Args:
        path: what `write_proof` wrote.
        trusted_genesis: the ``genesis.json`` of the run, from a source other than the proof. Without it, compare the
            claim's genesis hash with the one you know: anybody can make a chain of their own.

    Returns:
        What is proven.

    Raises:
        VerificationError: naming the first thing that does not hold.
    """
    claim, evidence = _read(path)
    if trusted_genesis is not None and read_genesis(trusted_genesis) != (evidence.genesis, evidence.genesis_hash):
        raise VerificationError(f"the proof is about another chain: its genesis is not that of {trusted_genesis.name}")
    facts, root = _facts(evidence, claim.round)
    _compare(claim, replace(claim, **facts))
    _check_leaf(claim, root, evidence.path)
    return claim


# ------------------------------------------------------------------------------------------------------------ checking


def _facts(evidence: _Evidence, number: int) -> tuple[dict[str, Any], bytes]:
    """What the chain says about a round: the fields of a claim that are not the leaf's, and the committed root."""
    if genesis_header(evidence.genesis).hash != evidence.genesis_hash:
        raise VerificationError("the genesis does not hold: its fields have another hash than it says")
    chain = _follow(evidence.genesis, evidence.headers)
    contract = _deployed_contract(chain, evidence.deployment)
    opened, committed, finalised = (
        _event(name, log, chain, contract, number) for name, log in zip(EVENTS, evidence.events, strict=True)
    )
    if evidence.events[-1].block != len(evidence.headers):
        raise VerificationError("the last header is not that of the block that finalised the round")
    if opened["configHash"] != evidence.genesis.config_hash:
        raise VerificationError(f"round {number} was opened under another configuration than the chain's")
    facts = {
        "genesis_hash": evidence.genesis_hash,
        "head_hash": chain[-1].hash,
        "contract": contract,
        "config_hash": opened["configHash"],
        "version": finalised["version"],
        "model_digest": finalised["modelDigest"],
        "count": committed["count"],
    }
    return facts, committed["root"]


def _follow(genesis: Genesis, headers: Sequence[bytes]) -> list[BlockHeaderAPI]:
    """The headers from block 0 on, each a sealed child of the one before."""
    chain = [genesis_header(genesis)]
    for number, raw in enumerate(headers, 1):
        with _refusing(f"the header of block {number}"):
            header = rlp.decode(raw, sedes=PragueBlockHeader)
            check_header(header, chain[-1], genesis)
        chain.append(header)
    return chain


def _deployed_contract(chain: Sequence[BlockHeaderAPI], nodes: Sequence[bytes]) -> bytes:
    """The address to which the first transaction of block 1 deploys the contract. A failed one has no events."""
    with _refusing("the deployment in block 1"):
        _require(len(chain) > 1, "the proof has no header")
        transaction = PragueTransactionBuilder.decode(_proven(chain[1].transaction_root, 0, nodes))
        address = deployed_address(transaction.sender, transaction.nonce)
    if transaction.to or transaction.data != load_contract().bytecode:
        raise VerificationError("block 1 does not begin with the deployment of the contract that the package ships")
    return address


def _event(name: str, place: _Log, chain: Sequence[BlockHeaderAPI], contract: bytes, number: int) -> Mapping[str, Any]:
    """The arguments of the event ``name`` of round ``number``, from a receipt that its header's root vouches for."""
    with _refusing(f"{name} in block {place.block}"):
        _require(0 < place.block < len(chain), "the proof has no header of that number")
        receipt = _proven(chain[place.block].receipt_root, place.transaction, place.nodes)
        status, _, _, logs = rlp.decode(receipt)
        _require(status == b"\x01", f"transaction {place.transaction} was reverted")
        _require(0 <= place.log < len(logs), f"transaction {place.transaction} has no log {place.log}")
        address, topics, data = logs[place.log]
        _require(address == contract, f"the log is of another contract, 0x{address.hex()}")
        event = load_contract().decode_log(tuple(topics), data)
        _require(event.name == name, f"the log is {event.name}")
        _require(event.args["round"] == number, f"it is about round {event.args['round']}, not {number}")
    return event.args


def _proven(root: bytes, index: int, nodes: Sequence[bytes]) -> bytes:
    """What stands at ``index`` in the trie with that root, of which just the nodes on the way there are given."""
    trie = HexaryTrie({keccak(node): node for node in nodes}, root)
    _require(index >= 0, f"there is no index {index}")
    _require(root in trie.db, "the header does not vouch for it")
    key = rlp.encode(index)
    try:
        value, way = trie[key], _encoded(trie.get_proof(key))
    except MissingTrieNode:
        value, way = b"", ()
    _require(value != b"" and way == tuple(nodes), f"its trie nodes do not lead to index {index}")
    return value


def _compare(stated: Claim, derived: Claim) -> None:
    for name, found in asdict(derived).items():
        said = getattr(stated, name)
        if said != found:
            raise VerificationError(f"the claim says {name} {_show(said)}, the chain says {_show(found)}")


def _check_leaf(claim: Claim, root: bytes, path: Sequence[bytes]) -> None:
    with _refusing("the leaf"):
        _require(
            merkle.verify(root, claim.count, claim.index, claim.leaf, path),
            f"it is not number {claim.index} of {claim.count} under the root that round {claim.round} committed to",
        )


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Whatever a decoder trips over in foreign bytes is a refusal, never a crash."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise VerificationError(f"{what} does not hold: {reason}") from error


# ------------------------------------------------------------------------------------------------------------- proving


def _find_events(
    address: bytes, height: int, receipts: Callable[[int], Sequence[bytes]], number: int
) -> tuple[_Log, ...]:
    """Where the chain says that a round was opened, committed and finalised."""
    found: dict[str, _Log] = {}
    for block in range(1, height + 1):
        encoded = receipts(block)
        for name, transaction, log in _events_of(encoded, address, number):
            found[name] = _Log(block, transaction, log, _nodes(encoded, transaction))
        if len(found) == len(EVENTS):
            return tuple(found[name] for name in EVENTS)
    raise BoflError(f"round {number} was not finalised on this chain: choose a round that led to a model")


def _events_of(receipts: Sequence[bytes], address: bytes, number: int) -> Iterator[tuple[str, int, int]]:
    """The events of EVENTS about a round in a block: name, transaction index, log index."""
    topic = number.to_bytes(32, "big")
    for transaction, receipt in enumerate(receipts):
        for index, (emitter, topics, data) in enumerate(rlp.decode(receipt)[3] if topic in receipt else ()):
            if emitter == address and topic in topics:
                event = load_contract().decode_log(tuple(topics), data)
                if event.name in EVENTS and event.args["round"] == number:
                    yield event.name, transaction, index


def _nodes(items: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The nodes on the way to an item in the trie over a block's transactions or receipts."""
    root, stored = trie_root_and_nodes(items)
    return _encoded(HexaryTrie(stored, root).get_proof(rlp.encode(index)))


def _encoded(nodes: Sequence[Any]) -> tuple[bytes, ...]:
    return tuple(rlp.encode(node) for node in nodes)


# ------------------------------------------------------------------------------------------------------------ the file


def _read(path: Path) -> tuple[Claim, _Evidence]:
    """The two parts of a file that is, to the byte, as `_text` writes it."""
    try:
        text = path.read_bytes().decode()
        document = parse_json(text)
        kind, version = document["kind"], document["version"]
    except OSError as error:
        raise VerificationError(f"{path.name} cannot be read ({error.strerror}): {ASK_AGAIN}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{path.name} is not a contribution proof: {ASK_AGAIN}") from error
    if (kind, version) != (KIND, VERSION):
        raise VerificationError(f"{path.name} is not a {KIND} of version {VERSION}: {ASK_AGAIN}")
    try:
        claim, evidence = _parse(document)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise VerificationError(f"{path.name} is damaged ({error}): {ASK_AGAIN}") from error
    if _text(claim, evidence) != text:
        raise VerificationError(f"{path.name} was changed: it is not, to the byte, as a proof is written; {ASK_AGAIN}")
    return claim, evidence


def _text(claim: Claim, evidence: _Evidence) -> str:
    document = {
        "kind": KIND,
        "version": VERSION,
        "claim": _shown(asdict(claim)),
        "genesis": genesis_fields(evidence.genesis, evidence.genesis_hash),
        "path": _show(evidence.path),
        "events": {name: _shown(log._asdict()) for name, log in zip(EVENTS, evidence.events, strict=True)},
        "deployment": _show(evidence.deployment),
        "headers": _show(evidence.headers),
    }
    return json.dumps(document, indent=1) + "\n"


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _show(value) for name, value in record.items()}


def _show(value: Any) -> Any:
    """Bytes in hexadecimal, one by one or many; numbers as they are."""
    if isinstance(value, tuple):
        return [_show(item) for item in value]
    return "0x" + value.hex() if isinstance(value, bytes) else value


def _parse(document: Mapping[str, Any]) -> tuple[Claim, _Evidence]:
    """What the document says, in whichever way it says it."""
    genesis = document["genesis"]
    evidence = _Evidence(
        genesis=parse_extra_data(_bytes(genesis["extraData"])),
        genesis_hash=_bytes(genesis["hash"]),
        path=_many(document["path"]),
        events=tuple(_log(document["events"][name]) for name in EVENTS),
        deployment=_many(document["deployment"]),
        headers=_many(document["headers"]),
    )
    return _claim(document["claim"]), evidence


def _claim(stated: Mapping[str, Any]) -> Claim:
    readers: dict[Any, Callable[[Any], Any]] = {bytes: _bytes, int: int}
    return Claim(**{field.name: readers[field.type](stated[field.name]) for field in fields(Claim)})


def _log(stated: Mapping[str, Any]) -> _Log:
    return _Log(int(stated["block"]), int(stated["transaction"]), int(stated["log"]), _many(stated["nodes"]))


def _many(shown: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(_bytes(item) for item in shown)


def _bytes(shown: str) -> bytes:
    return bytes.fromhex(shown.removeprefix("0x"))
