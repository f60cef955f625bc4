"""Checks a proof: derives all facts from its evidence and compares them with its claim."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import rlp
from eth.abc import BlockHeaderAPI
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.transactions import PragueTransactionBuilder

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger import merkle
from bofl_jax.ledger.audit.proof.format import EVENTS, Claim, EventProof, Evidence, read_proof, to_json
from bofl_jax.ledger.chain.genesis import Genesis
from bofl_jax.ledger.chain.py_evm.proof_of_authority import check_header, genesis_header
from bofl_jax.ledger.chain.py_evm.trie_proof import proven_item
from bofl_jax.ledger.chain.transactions import contract_address
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.storage.genesis_file import read_genesis


def verify_proof(path: Path, trusted_genesis: Path | None = None) -> Claim:
    """Check a proof file.

    Args:
        path: the file that `bofl_jax.ledger.audit.proof.write_proof` wrote.
        trusted_genesis: the ``genesis.json`` of the run, from another source than the proof. Without it, compare the
            claim's genesis hash with the one that you know, because anybody can make a chain of their own.

    Returns:
        The proven claim.

    Raises:
        VerificationError: naming the first check that fails.
    """
    claim, evidence = read_proof(path)
    if trusted_genesis is not None and read_genesis(trusted_genesis) != (evidence.genesis, evidence.genesis_hash):
        raise VerificationError(f"the proof is about another chain: its genesis is not that of {trusted_genesis.name}")
    facts, root = derive_facts(evidence, claim.round)
    _compare(claim, replace(claim, **facts))
    check_leaf(claim, root, evidence.path)
    return claim


def derive_facts(evidence: Evidence, round: int) -> tuple[dict[str, Any], bytes]:
    """The facts about a round that the evidence proves.

    Args:
        evidence: the evidence of a proof.
        round: number of the round on the chain.

    Returns:
        The fields of a `Claim` that do not come from the leaf, and the committed Merkle root.

    Raises:
        VerificationError: naming the first check that fails.
    """
    if genesis_header(evidence.genesis).hash != evidence.genesis_hash:
        raise VerificationError("the genesis does not hold: its fields have another hash than it says")
    chain = _check_headers(evidence.genesis, evidence.headers)
    contract = _deployed_contract(chain, evidence.deployment)
    opened, committed, finalised = (
        _event(name, proof, chain, contract, round) for name, proof in zip(EVENTS, evidence.events, strict=True)
    )
    if evidence.events[-1].block != len(evidence.headers):
        raise VerificationError("the last header is not that of the block that finalised the round")
    if opened["configHash"] != evidence.genesis.config_hash:
        raise VerificationError(f"round {round} was opened under another configuration than the chain's")
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


def check_leaf(claim: Claim, root: bytes, path: Sequence[bytes]) -> None:
    """Check that the claimed leaf is under a committed root.

    Args:
        claim: the claim.
        root: 32 bytes, the committed root.
        path: sibling hashes from the leaf up to the root.

    Raises:
        VerificationError: if it is not.
    """
    with _verifying("the leaf"):
        _require(
            merkle.verify(root, claim.count, claim.index, claim.leaf, path),
            f"it is not number {claim.index} of {claim.count} under the root that round {claim.round} committed to",
        )


def _check_headers(genesis: Genesis, headers: Sequence[bytes]) -> list[BlockHeaderAPI]:
    """The decoded headers from block 0 on, each one a sealed child of the one before."""
    chain = [genesis_header(genesis)]
    for number, raw in enumerate(headers, 1):
        with _verifying(f"the header of block {number}"):
            header = rlp.decode(raw, sedes=PragueBlockHeader)
            check_header(header, chain[-1], genesis)
        chain.append(header)
    return chain


def _deployed_contract(chain: Sequence[BlockHeaderAPI], nodes: Sequence[bytes]) -> bytes:
    """The address to which the first transaction of block 1 deploys the contract.

    Its success needs no check, because a failed deployment has no events.
    """
    with _verifying("the deployment in block 1"):
        _require(len(chain) > 1, "the proof has no header")
        transaction = PragueTransactionBuilder.decode(proven_item(chain[1].transaction_root, 0, nodes))
        address = contract_address(transaction.sender, transaction.nonce)
    if transaction.to or transaction.data != load_contract().bytecode:
        raise VerificationError("block 1 does not begin with the deployment of the contract that the package ships")
    return address


def _event(
    name: str, proof: EventProof, chain: Sequence[BlockHeaderAPI], contract: bytes, round: int
) -> Mapping[str, Any]:
    """The arguments of a round's event, from a receipt that is under the receipt root of its header."""
    with _verifying(f"{name} in block {proof.block}"):
        _require(0 < proof.block < len(chain), "the proof has no header of that number")
        receipt = proven_item(chain[proof.block].receipt_root, proof.transaction, proof.nodes)
        status, _, _, logs = rlp.decode(receipt)
        _require(status == b"\x01", f"transaction {proof.transaction} was reverted")
        _require(0 <= proof.log < len(logs), f"transaction {proof.transaction} has no log {proof.log}")
        address, topics, data = logs[proof.log]
        _require(address == contract, f"the log is of another contract, 0x{address.hex()}")
        event = load_contract().decode_log(tuple(topics), data)
        _require(event.name == name, f"the log is {event.name}")
        _require(event.args["round"] == round, f"it is about round {event.args['round']}, not {round}")
    return event.args


def _compare(stated: Claim, derived: Claim) -> None:
    for name, found in asdict(derived).items():
        said = getattr(stated, name)
        if said != found:
            raise VerificationError(f"the claim says {name} {to_json(said)}, the chain says {to_json(found)}")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


@contextmanager
def _verifying(what: str) -> Iterator[None]:
    """Turn every error inside the ``with`` block into a VerificationError: foreign bytes must not cause a crash."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise VerificationError(f"{what} does not hold: {reason}") from error
