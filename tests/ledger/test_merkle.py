"""The round's Merkle tree against a plain recursion, and the proofs that must be rejected."""

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bofl_jax.ledger import merkle
from bofl_jax.ledger.merkle import Leaf

U32, I64 = st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1)
LEAF = st.builds(Leaf, st.just(3), st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32), U32, I64)
LEAVES = st.lists(LEAF, min_size=1, max_size=33)


def plain_leaf(leaf):
    fields = [(leaf.round, 4, False), (leaf.samples, 4, False), (leaf.metric, 8, True)]
    number, samples, metric = (value.to_bytes(size, "big", signed=signed) for value, size, signed in fields)
    return sha256(b"\0" + number + leaf.client + leaf.update_digest + samples + metric).digest()


def plain_root(hashes):
    if len(hashes) == 1:
        return hashes[0]
    half = len(hashes) // 2
    return sha256(b"\1" + plain_root(hashes[:half]) + plain_root(hashes[half:])).digest()


def padded(leaves):
    width = 1
    while width < len(leaves):
        width *= 2
    return [plain_leaf(leaf) for leaf in leaves] + [bytes(32)] * (width - len(leaves))


@given(LEAVES)
def test_root_equals_the_recursion(leaves):
    assert merkle.root(leaves) == plain_root(padded(leaves))


@given(LEAVES)
def test_rows_are_the_messages_that_are_hashed(leaves):
    columns = [list(column) for column in zip(*leaves, strict=True)]
    clients, digests = (np.frombuffer(b"".join(part), np.uint8).reshape(len(leaves), -1) for part in columns[1:3])
    rows = merkle.pack_leaves(3, clients, digests, np.array(columns[3], np.uint32), np.array(columns[4], np.int64))
    assert merkle.levels(rows) == merkle.levels(leaves)
    assert [merkle.unpack_leaf(rows, index) for index in range(len(leaves))] == leaves


@given(LEAVES)
def test_every_leaf_has_a_proof_of_the_one_length(leaves):
    tree, root = merkle.levels(leaves), merkle.root(leaves)
    for index, leaf in enumerate(leaves):
        proof = merkle.proof(tree, index)
        assert len(proof) == merkle.depth(len(leaves))
        assert merkle.verify(root, len(leaves), index, leaf, proof)


@given(LEAVES, LEAF, st.data())
def test_another_leaf_is_rejected(leaves, other, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = merkle.proof(merkle.levels(leaves), index)
    if other != leaves[index]:
        assert not merkle.verify(merkle.root(leaves), len(leaves), index, other, proof)


@given(st.lists(LEAF, min_size=2, max_size=33, unique=True), st.data())
def test_a_wrong_index_is_rejected(leaves, data):
    index, wrong = data.draw(st.lists(st.integers(0, len(leaves) - 1), min_size=2, max_size=2, unique=True))
    proof = merkle.proof(merkle.levels(leaves), index)
    assert not merkle.verify(merkle.root(leaves), len(leaves), wrong, leaves[index], proof)


@pytest.mark.parametrize("index", [-1, 5, 7, 2**40])
def test_an_index_beyond_the_count_is_rejected(index):
    leaves = [Leaf(1, bytes(20), bytes([i]) * 32, 1, 1) for i in range(5)]
    proof = merkle.proof(merkle.levels(leaves), 4)
    assert not merkle.verify(merkle.root(leaves), 5, index, leaves[4], proof)


def test_a_proof_of_another_length_is_rejected():
    leaves = [Leaf(1, bytes(20), bytes([i]) * 32, 1, 1) for i in range(5)]
    proof, root = merkle.proof(merkle.levels(leaves), 4), merkle.root(leaves)
    for wrong in (proof[:-1], proof[1:], [], [*proof, bytes(32)]):
        assert not merkle.verify(root, 5, 4, leaves[4], wrong)


def test_an_inner_node_is_no_leaf():
    """A leaf is always hashed with its own prefix, and its preimage is 69 bytes, not a node's 65."""
    leaves = [Leaf(1, bytes(20), bytes([i]) * 32, 1, 1) for i in range(4)]
    tree = merkle.levels(leaves)
    assert not {merkle.leaf_hash(leaf) for leaf in leaves} & set(tree[1] + tree[2])
    disguised = Leaf(1, bytes(20), tree[1][0], 1, 1)
    for proof in ([tree[1][1]], [tree[0][1], tree[1][1]]):
        assert not merkle.verify(tree[2][0], 4, 0, disguised, proof)


def test_the_root_of_no_leaves_is_zero():
    assert merkle.root([]) == bytes(32)
    with pytest.raises(ValueError, match="at least one leaf"):
        merkle.levels([])


@pytest.mark.parametrize(
    ("field", "value"),
    [("client", bytes(19)), ("update_digest", bytes(31)), ("samples", 2**32), ("samples", -1), ("metric", 2**63)],
)
def test_a_field_that_does_not_fit_is_rejected(field, value):
    leaf = Leaf(1, bytes(20), bytes(32), 1, 1)._replace(**{field: value})
    with pytest.raises(ValueError, match="leaf"):
        merkle.leaf_hash(leaf)
