"""Compares the leaves of a round, as the leaf file records them, with the round on the chain."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bofl_jax.core.errors import VerificationError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger import merkle
from bofl_jax.ledger.audit.records import AuditedRound
from bofl_jax.ledger.audit.replay import ChainRound, accepted_updates, rejected_updates
from bofl_jax.ledger.chain.base import BlockImporter
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.contract.cohort import cohort_digest
from bofl_jax.ledger.storage.leaves import RoundLeaves


class RoundAuditor:
    """Checks the rounds of a chain.

    Args:
        chain: the replayed chain, which executes the contract's own check of proofs.
        address: 20 bytes, the contract's address.
        clients: addresses of the clients, 20 bytes each, in the order of the registry.
    """

    def __init__(self, chain: BlockImporter, address: bytes, clients: Sequence[bytes]) -> None:
        self._chain, self._address = chain, address
        self._contract = load_contract()
        self._addresses = np.frombuffer(b"".join(clients), np.uint8).reshape(-1, 20)

    def audit(self, on_chain: ChainRound, record: RoundLeaves) -> AuditedRound:
        """Check one round.

        Args:
            on_chain: the round as the chain's events describe it.
            record: its leaves.

        Raises:
            VerificationError: naming the first check that fails.
        """
        committed, finalised = on_chain.committed, on_chain.finalised
        assert committed  # the contract finalises only committed rounds
        assert finalised
        if record.round != on_chain.number:
            raise VerificationError(f"leaves.rlp: model {finalised.args['version']} is not of round {record.round}")
        self._check_cohort(on_chain, record)
        self._check_contributors(on_chain, record)
        self._check_leaves(committed.args, record)
        _check_updates(on_chain, record)
        return AuditedRound(
            round=on_chain.number,
            version=finalised.args["version"],
            root=record.root,
            count=len(record.leaves),
            rejected=len(rejected_updates(on_chain)),
            model_digest=finalised.args["modelDigest"],
            samples=committed.args["samples"],
            metric=committed.args["metric"],
            gas=on_chain.gas,
            record=record,
            blocks=tuple(on_chain.blocks),
        )

    def _check_cohort(self, on_chain: ChainRound, record: RoundLeaves) -> None:
        number, opened = record.round, on_chain.opened.args
        if len(record.cohort) and record.cohort.max() >= len(self._addresses):
            raise VerificationError(f"round {number}: the cohort names a client that is not registered")
        digest = cohort_digest(self._addresses, record.cohort)
        if (digest, len(record.cohort)) != (opened["cohortDigest"], opened["cohortSize"]):
            raise VerificationError(f"round {number}: the cohort in leaves.rlp is not the one on the chain")

    def _check_contributors(self, on_chain: ChainRound, record: RoundLeaves) -> None:
        """Every leaf has the address of an active client of the cohort; the clients ascend, so none occurs twice."""
        number, clients = record.round, record.clients
        if len(clients) != len(record.leaves) or (np.diff(clients) <= 0).any():
            raise VerificationError(f"round {number}: the leaves are not one per client, in ascending order")
        if not np.isin(clients, record.cohort).all():
            raise VerificationError(f"round {number}: a client outside the cohort contributed")
        inactive = [c for c in clients if "0x" + self._addresses[c].tobytes().hex() not in on_chain.active]
        if inactive:
            raise VerificationError(f"round {number}: client {inactive[0]} contributed without being active")
        for row in np.flatnonzero(record.leaves["client"] != self._addresses[clients].view("V20").reshape(-1)):
            raise VerificationError(f"round {number}: client {clients[row]} has another address on the chain")

    def _check_leaves(self, committed: Mapping[str, Any], record: RoundLeaves) -> None:
        """The leaves are those under the committed root, and the committed totals are theirs."""
        number, leaves = record.round, record.leaves
        if (record.root, len(leaves)) != (committed["root"], committed["count"]):
            raise VerificationError(f"round {number}: root or count in leaves.rlp is not the committed one")
        if not len(leaves):
            return
        if (leaves["round"] != number).any() or leaves["tag"].any():
            raise VerificationError(f"round {number}: a leaf in leaves.rlp is of another round")
        tree = merkle.levels(leaves)
        for index in range(len(leaves)):
            leaf = merkle.unpack_leaf(leaves, index)
            if not merkle.verify(record.root, len(leaves), index, leaf, merkle.proof(tree, index)):
                raise VerificationError(f"round {number}: the proof of client {record.clients[index]} does not hold")
        if merkle.totals(leaves) != (committed["samples"], committed["metric"]):
            raise VerificationError(f"round {number}: the committed samples or metric are not those of the leaves")
        for index in {0, len(leaves) - 1}:
            self._check_on_chain(index, merkle.unpack_leaf(leaves, index), merkle.proof(tree, index))

    def _check_on_chain(self, index: int, leaf: merkle.Leaf, proof: Sequence[bytes]) -> None:
        data = self._contract.encode_call("verifyInclusion", leaf.round, index, *leaf[1:], proof)
        success, output = self._chain.eth_call(self._address, data)
        if not success or not self._contract.decode_output("verifyInclusion", output)[0]:
            raise VerificationError(f"round {leaf.round}: the contract does not accept the proof of leaf {index}")


def _check_updates(on_chain: ChainRound, record: RoundLeaves) -> None:
    """If updates were recorded on the chain, they are exactly the leaves, and all reverted updates are recorded."""
    number, leaves = record.round, [merkle.unpack_leaf(record.leaves, index) for index in range(len(record.leaves))]
    submitted = any(event.name == "UpdateAccepted" for event in on_chain.updates)
    if submitted and accepted_updates(on_chain) != {"0x" + leaf.client.hex(): tuple(leaf[2:]) for leaf in leaves}:
        raise VerificationError(f"round {number}: the leaves are not the updates that clients submitted on chain")
    if on_chain.published and on_chain.published != [leaf.update_digest for leaf in leaves]:
        raise VerificationError(f"round {number}: the leaves are not the digests that were published on chain")
    rejected = (event.args for event in rejected_updates(on_chain))
    recorded = Counter(args["client"] for args in rejected if args["reason"] < RejectionReason.DIGEST_MISMATCH)
    if on_chain.reverted - recorded:
        raise VerificationError(f"round {number}: an update was rejected by the contract and is not on record")
