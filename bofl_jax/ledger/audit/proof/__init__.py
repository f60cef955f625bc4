"""A proof that one client contributed one update to one round, which anybody can check without the run.

The file is one JSON document with the claim in plain words and hexadecimal, and the evidence for it:

* the headers of blocks 1 .. n, each sealed by the in-turn signer, where block n finalised the round;
* the first transaction of block 1, which deploys the contract that this package ships;
* the receipts with the events ``RoundOpened``, ``RoundCommitted`` and ``RoundFinalised`` of the round, each bound to
  its header by a Merkle-Patricia proof (see `bofl_jax.ledger.chain.py_evm.trie_proof`);
* the SHA-256 path from the client's leaf to the root that the round committed to (see `bofl_jax.ledger.merkle`).

Checking a proof needs no EVM and no other client's data. Every byte of the file counts: the file has one canonical
form, and all its content is either evidence or follows from evidence. A header has 0.7 kB, or 1.4 kB of JSON, the
deployment 38 kB of JSON, the rest 5 kB: 0.47 MB for a chain of 300 blocks.

What a proof says: if the genesis hash is the one that you know from another source, then the signers named in that
block sealed a chain on which the contract committed the round to a tree with this leaf, under this configuration, and
then finalised the round with this model.

What a proof does not say:

* that the blocks were executed honestly: the roots of receipts are the signers' word and are not computed again (audit
  the whole run to check the execution);
* that the client itself submitted the update: a leaf is the aggregator's word, except in the modes where clients sign;
* that the signers sealed no other chain, or what happened on this chain after block n.

Importing this package imports py-evm.
"""

from bofl_jax.ledger.audit.proof.construction import prove
from bofl_jax.ledger.audit.proof.format import EVENTS, Claim, write_proof
from bofl_jax.ledger.audit.proof.verification import verify_proof

__all__ = ["EVENTS", "Claim", "prove", "verify_proof", "write_proof"]
