"""Makes a proof from the blocks and receipts of a chain."""

from collections.abc import Iterator, Sequence

import rlp

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger import merkle
from bofl_jax.ledger.audit.proof.format import EVENTS, Claim, EventProof, Evidence, proof_text
from bofl_jax.ledger.audit.proof.verification import check_leaf, derive_facts
from bofl_jax.ledger.chain.base import EncodedReceipts
from bofl_jax.ledger.chain.genesis import Genesis
from bofl_jax.ledger.chain.py_evm.proof_of_authority import genesis_header
from bofl_jax.ledger.chain.py_evm.trie_proof import prove_item
from bofl_jax.ledger.contract.artefact import load_contract


def prove(
    genesis: Genesis,
    address: bytes,
    blocks: Sequence[bytes],
    receipts: EncodedReceipts,
    leaf: merkle.Leaf,
    index: int,
    path: Sequence[bytes],
) -> str:
    """The text of a proof, checked before it is returned.

    Args:
        genesis: content of block 0.
        address: 20 bytes, the contract's address.
        blocks: RLP bytes of the blocks 1, 2, ...; those after the end of the round are left out of the proof.
        receipts: access to the encoded receipts by block number.
        leaf: the client's contribution; its round is the number on the chain.
        index: position of the leaf in the round's Merkle tree, from 0.
        path: sibling hashes from the leaf up to the root, as returned by `merkle.proof`.

    Raises:
        BoflError: if the round was not finalised on this chain.
        VerificationError: if the arguments do not prove the leaf.
    """
    events = _find_events(address, len(blocks), receipts, leaf.round)
    deployment = prove_item([rlp.encode(transaction) for transaction in rlp.decode(blocks[0])[1]], 0)
    headers = tuple(rlp.encode(rlp.decode(raw)[0]) for raw in blocks[: events[-1].block])
    evidence = Evidence(genesis, genesis_header(genesis).hash, tuple(path), events, deployment, headers)
    facts, root = derive_facts(evidence, leaf.round)
    claim = Claim(**facts, **leaf._asdict(), index=index)
    check_leaf(claim, root, evidence.path)
    return proof_text(claim, evidence)


def _find_events(address: bytes, height: int, receipts: EncodedReceipts, round: int) -> tuple[EventProof, ...]:
    """The proofs of the events that opened, committed and finalised a round."""
    found: dict[str, EventProof] = {}
    for block in range(1, height + 1):
        encoded = receipts(block)
        for name, transaction, log in _events_of(encoded, address, round):
            found[name] = EventProof(block, transaction, log, prove_item(encoded, transaction))
        if len(found) == len(EVENTS):
            return tuple(found[name] for name in EVENTS)
    raise BoflError(f"round {round} was not finalised on this chain: choose a round that led to a model")


def _events_of(receipts: Sequence[bytes], address: bytes, round: int) -> Iterator[tuple[str, int, int]]:
    """The `EVENTS` about a round in one block: name, index of the transaction, index of the log."""
    topic = round.to_bytes(32, "big")
    for transaction, receipt in enumerate(receipts):
        for index, (emitter, topics, data) in enumerate(rlp.decode(receipt)[3] if topic in receipt else ()):
            if emitter == address and topic in topics:
                event = load_contract().decode_log(tuple(topics), data)
                if event.name in EVENTS and event.args["round"] == round:
                    yield event.name, transaction, index
