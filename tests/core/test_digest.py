"""Update digests against a plain implementation of the definition."""

from hashlib import sha256

import numpy as np
import pytest

from bofl_jax.core.digest import digest, digest_rows
from bofl_jax.core.serialization import canonical_bytes, stacked_canonical_bytes

LENGTHS = (0, 1, 4, 1023, 1024, 1025, 2048, 3000, 3072, 5000, 7 * 1024 + 1)


def as_list(digests):
    assert (digests.dtype, digests.shape[1:]) == (np.uint8, (32,))
    return [row.tobytes() for row in digests]


def word(value):
    return value.to_bytes(4, "big")


def split_root(chunks):
    """The recursion of RFC 6962: the left part has the largest power of two below the number of chunks."""
    if len(chunks) == 1:
        return sha256(word(0) + chunks[0]).digest()
    left = 1
    while left * 2 < len(chunks):
        left *= 2
    return sha256(word(1) + split_root(chunks[:left]) + split_root(chunks[left:])).digest()


def plain_digest(layout, data):
    chunks = [data[start : start + 1024] for start in range(0, len(data), 1024)] or [b""]
    header = word(2) + sha256(layout.encode()).digest() + len(data).to_bytes(8, "big")
    return sha256(header + split_root(chunks)).digest()


@pytest.mark.parametrize("length", LENGTHS)
def test_digest_equals_the_definition(length):
    data = np.random.default_rng(length).bytes(length)
    assert digest("layout\n", data) == plain_digest("layout\n", data)
    assert digest("layout\n", memoryview(data)) == plain_digest("layout\n", data)


@pytest.mark.parametrize("length", LENGTHS)
def test_digests_of_rows_equal_single_digests(length):
    rows = np.random.default_rng(length).integers(0, 256, (3, length), np.uint8)
    assert as_list(digest_rows("x", [rows[:, :7], rows[:, 7:]])) == [plain_digest("x", row.tobytes()) for row in rows]


def test_rows_may_be_a_strided_view():
    rows = np.random.default_rng(0).integers(0, 256, (6, 5000), np.uint8)[::2, 1:4001]
    assert as_list(digest_rows("x", [rows[:, :7], rows[:, 7:]])) == [plain_digest("x", row.tobytes()) for row in rows]


def test_length_and_layout_change_the_digest():
    assert digest("a", bytes(8)) != digest("b", bytes(8))
    assert digest("a", bytes(8)) != digest("a", bytes(9))


def test_an_update_has_the_same_digest_alone_and_in_a_stack():
    draw = np.random.default_rng(0)
    stack = {"w": draw.normal(size=(3, 40, 9)).astype(np.float32), "b": draw.normal(size=(3, 9)).astype(np.float32)}
    alone = [canonical_bytes({name: leaf[client] for name, leaf in stack.items()}) for client in range(3)]
    assert as_list(digest_rows(*stacked_canonical_bytes(stack))) == [digest(*pair) for pair in alone]
