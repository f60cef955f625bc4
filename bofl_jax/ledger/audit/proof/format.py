"""The file format of a proof: the claim, the evidence, and their one canonical text."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.core.parsing import parse_json
from bofl_jax.ledger import merkle
from bofl_jax.ledger.chain.genesis import Genesis, genesis_fields, parse_extra_data

KIND = "bofl_jax contribution proof"
VERSION = 1
EVENTS = ("RoundOpened", "RoundCommitted", "RoundFinalised")
REQUEST_AGAIN = "request the file again from the author of the proof"


@dataclass(frozen=True)
class Claim:
    """The statement of a proof: who contributed what to which model, on which chain.

    Attributes:
        genesis_hash: 32 bytes, identifies the chain; compare it with the hash that you know from another source.
        head_hash: 32 bytes, hash of the block that finalised the round.
        contract: 20 bytes, address of the contract.
        config_hash: 32 bytes, SHA-256 of the run's configuration.
        round: number of the round on the chain, from 1; aborted rounds count.
        version: number of the resulting global model, from 1.
        model_digest: 32 bytes, digest of that model.
        count: number of contributing clients.
        index: position of this client's leaf among them, from 0.
        client: 20 bytes, address of the client.
        update_digest: 32 bytes, digest of its update.
        samples: number of training samples that it used.
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
        """The client's leaf in the round's Merkle tree."""
        return merkle.Leaf(self.round, self.client, self.update_digest, self.samples, self.metric)


class EventProof(NamedTuple):
    """The position of an event, and the proof of the receipt that contains it.

    Attributes:
        block: number of the block.
        transaction: index of the transaction in the block.
        log: index of the event in the transaction's receipt.
        nodes: trie nodes from the receipt root of the block's header down to the receipt.
    """

    block: int
    transaction: int
    log: int
    nodes: tuple[bytes, ...]


class Evidence(NamedTuple):
    """The content of a proof file except for the claim.

    Attributes:
        genesis: content of block 0.
        genesis_hash: 32 bytes, hash of block 0.
        path: sibling hashes from the leaf up to the committed root.
        events: one per name of `EVENTS`, in this order.
        deployment: trie nodes from the transaction root of block 1 down to its first transaction.
        headers: the encoded headers of blocks 1, 2, ...
    """

    genesis: Genesis
    genesis_hash: bytes
    path: tuple[bytes, ...]
    events: tuple[EventProof, ...]
    deployment: tuple[bytes, ...]
    headers: tuple[bytes, ...]


def write_proof(path: Path, text: str) -> None:
    """Write the text of a proof: the whole file or nothing.

    Args:
        path: the file, which must not exist.
        text: the return value of `bofl_jax.ledger.audit.proof.prove`.

    Raises:
        BoflError: if the file exists already, or cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with partial.open("wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)  # unlike a rename, this never replaces a file
        finally:
            partial.unlink(missing_ok=True)
    except FileExistsError as error:
        raise BoflError(f"{path} exists already: choose another name for the proof") from error
    except OSError as error:
        raise BoflError(f"{path} cannot be written ({error.strerror}): choose another place for the proof") from error


def read_proof(path: Path) -> tuple[Claim, Evidence]:
    """The claim and the evidence of a proof file, which are not checked yet.

    Raises:
        VerificationError: if the file is missing, is not a proof, or is not in its canonical form.
    """
    try:
        text = path.read_bytes().decode()
        document = parse_json(text)
        kind, version = document["kind"], document["version"]
    except OSError as error:
        raise VerificationError(f"{path.name} cannot be read ({error.strerror}): {REQUEST_AGAIN}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{path.name} is not a contribution proof: {REQUEST_AGAIN}") from error
    if (kind, version) != (KIND, VERSION):
        raise VerificationError(f"{path.name} is not a {KIND} of version {VERSION}: {REQUEST_AGAIN}")
    try:
        claim, evidence = _parse(document)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise VerificationError(f"{path.name} is damaged ({error}): {REQUEST_AGAIN}") from error
    if proof_text(claim, evidence) != text:
        raise VerificationError(f"{path.name} was changed: it is not in its canonical form; {REQUEST_AGAIN}")
    return claim, evidence


def proof_text(claim: Claim, evidence: Evidence) -> str:
    """The canonical text of a proof file.

    Args:
        claim: the statement.
        evidence: the evidence for it.
    """
    document = {
        "kind": KIND,
        "version": VERSION,
        "claim": _fields_to_json(asdict(claim)),
        "genesis": genesis_fields(evidence.genesis, evidence.genesis_hash),
        "path": to_json(evidence.path),
        "events": {name: _fields_to_json(event._asdict()) for name, event in zip(EVENTS, evidence.events, strict=True)},
        "deployment": to_json(evidence.deployment),
        "headers": to_json(evidence.headers),
    }
    return json.dumps(document, indent=1) + "\n"


def to_json(value: Any) -> Any:
    """Bytes, and tuples of bytes, in hexadecimal; other values unchanged."""
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return "0x" + value.hex() if isinstance(value, bytes) else value


def _fields_to_json(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: to_json(value) for name, value in record.items()}


def _parse(document: Mapping[str, Any]) -> tuple[Claim, Evidence]:
    """The content of a document, whether or not it is in its canonical form."""
    genesis = document["genesis"]
    evidence = Evidence(
        genesis=parse_extra_data(_bytes(genesis["extraData"])),
        genesis_hash=_bytes(genesis["hash"]),
        path=_bytes_list(document["path"]),
        events=tuple(_event_proof(document["events"][name]) for name in EVENTS),
        deployment=_bytes_list(document["deployment"]),
        headers=_bytes_list(document["headers"]),
    )
    return _claim(document["claim"]), evidence


def _claim(stated: Mapping[str, Any]) -> Claim:
    readers: dict[Any, Callable[[Any], Any]] = {bytes: _bytes, int: int}
    return Claim(**{field.name: readers[field.type](stated[field.name]) for field in fields(Claim)})


def _event_proof(stated: Mapping[str, Any]) -> EventProof:
    block, transaction, log = (int(stated[name]) for name in ("block", "transaction", "log"))
    return EventProof(block, transaction, log, _bytes_list(stated["nodes"]))


def _bytes_list(shown: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(_bytes(item) for item in shown)


def _bytes(shown: str) -> bytes:
    return bytes.fromhex(shown.removeprefix("0x"))
