"""Inclusion proofs: the contract and `merkle.verify` agree, and both reject every altered proof."""

import random

import pytest

from bofl_jax.ledger import merkle
from bofl_jax.ledger.merkle import Leaf

COUNTS = (1, 2, 3, 5, 8, 20)


def leaves_of(world, count):
    return [Leaf(1, world.clients[i], bytes([i]) * 32, 100 + i, -5 if i == 2 else 10**6 + i) for i in range(count)]


def commit(world, leaves):
    world.open()
    world.transact("commitRound", 1, merkle.root(leaves), len(leaves), 0, 0)


def on_chain(world, index, leaf, proof):
    client, digest, samples, metric = leaf[1:]
    return world.call("verifyInclusion", leaf.round, index, client, digest, samples, metric, proof)


def reverts_on_chain(world, index, leaf, proof):
    client, digest, samples, metric = leaf[1:]
    return world.call_reverts("verifyInclusion", leaf.round, index, client, digest, samples, metric, proof)


@pytest.mark.parametrize("count", COUNTS)
def test_every_leaf_is_proved_on_chain(registered, count):
    leaves = leaves_of(registered, count)
    tree = merkle.levels(leaves)
    commit(registered, leaves)
    assert all(on_chain(registered, index, leaf, merkle.proof(tree, index)) for index, leaf in enumerate(leaves))


def test_on_chain_equals_off_chain_for_altered_proofs(registered):
    leaves = leaves_of(registered, 5)
    tree, root, draw = merkle.levels(leaves), merkle.root(leaves), random.Random(0)
    commit(registered, leaves)
    for _ in range(40):
        index, leaf = draw.randrange(5), leaves[draw.randrange(5)]
        proof = merkle.proof(tree, draw.randrange(5))
        if draw.random() < 0.3:
            proof[draw.randrange(3)] = draw.randbytes(32)
        expected = merkle.verify(root, 5, index, leaf, proof)
        assert on_chain(registered, index, leaf, proof) == expected


@pytest.mark.parametrize("field", ["client", "update_digest", "samples", "metric"])
def test_every_field_of_a_leaf_is_bound(registered, field):
    leaves = leaves_of(registered, 5)
    commit(registered, leaves)
    other = {"client": registered.clients[9], "update_digest": bytes(32), "samples": 7, "metric": 7}[field]
    altered = leaves[3]._replace(**{field: other})
    proof = merkle.proof(merkle.levels(leaves), 3)
    assert on_chain(registered, 3, leaves[3], proof)
    assert not on_chain(registered, 3, altered, proof)


def test_a_shorter_or_longer_proof_is_rejected(registered):
    leaves = leaves_of(registered, 5)
    commit(registered, leaves)
    proof = merkle.proof(merkle.levels(leaves), 0)
    assert reverts_on_chain(registered, 0, leaves[0], proof[1:]) == "WrongProofLength(given=2, required=3)"
    assert reverts_on_chain(registered, 0, leaves[0], [*proof, bytes(32)]) == "WrongProofLength(given=4, required=3)"
    assert reverts_on_chain(registered, 0, leaves[0], []) == "WrongProofLength(given=0, required=3)"


def test_padding_is_beyond_the_count(registered):
    leaves = leaves_of(registered, 5)
    commit(registered, leaves)
    proof = merkle.proof(merkle.levels(leaves), 5)
    assert reverts_on_chain(registered, 5, leaves[0], proof) == "IndexOutOfRange(index=5, count=5)"


@pytest.mark.parametrize("opened", [False, True])
def test_nothing_is_proved_before_a_round_is_committed(registered, opened):
    if opened:
        registered.open()
    state = "Open" if opened else "None"
    leaf = leaves_of(registered, 1)[0]
    expected = f"WrongRoundState(round=1, actual={state}, required=Committed)"
    assert reverts_on_chain(registered, 0, leaf, []) == expected


def test_an_empty_round_proves_nothing(registered):
    registered.open()
    registered.commit(count=0)
    assert reverts_on_chain(registered, 0, leaves_of(registered, 1)[0], []) == "IndexOutOfRange(index=0, count=0)"


def test_an_aborted_round_proves_nothing(registered):
    leaves = leaves_of(registered, 5)
    commit(registered, leaves)
    registered.transact("abortRound", 1)
    expected = "WrongRoundState(round=1, actual=Aborted, required=Committed)"
    assert reverts_on_chain(registered, 0, leaves[0], merkle.proof(merkle.levels(leaves), 0)) == expected
