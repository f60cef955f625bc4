"""Digests computed on the device against those of hashlib, bit by bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.digest import digest
from bofl_jax.core.digest_jax import INITIAL_STATE, ROUND_CONSTANTS, digest_words, words_to_bytes
from bofl_jax.core.serialization import canonical_bytes

CHUNK = 256  # words of a chunk
SHORT = (0, 12, 13)  # a SHA-256 block has 16 words, of which tag and padding take 4
EDGES = (CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1)
ODD = 7 * CHUNK + 3  # an odd chunk on several levels
# each size is another program, which takes seconds to compile


def draw(shape, dtype, seed=0):
    """Random bits; floats are never NaN, because an operation may change the bits of a NaN."""
    bits = np.random.default_rng(seed).integers(0, 1 << 32, shape, np.uint64).astype(np.uint32)
    return bits.view(dtype) if dtype != "float32" else (bits & np.uint32(0xBF7FFFFF)).view(np.float32)


def on_host(tree):
    return np.frombuffer(digest(*canonical_bytes(tree)), np.uint8)


def on_device(tree):
    return words_to_bytes(jax.jit(digest_words)(tree))


@pytest.mark.parametrize("size", [*SHORT, *EDGES, ODD])
def test_the_device_computes_the_same_digest(size):
    tree = {"w": draw(size, "float32", size)}
    np.testing.assert_array_equal(on_device(tree), on_host(tree))


def test_leaves_of_every_shape_and_type_are_hashed_in_path_order():
    tree = {
        "b": draw((2, 1), "float32"),
        "a": {"scalar": draw((), "uint32"), "counts": draw((4, 5), "int32"), "empty": draw((5, 0), "float32")},
    }
    np.testing.assert_array_equal(on_device(tree), on_host(tree))


def test_a_scalar_is_an_update():
    number = draw((), "float32")
    np.testing.assert_array_equal(on_device(number), on_host(number))


@pytest.mark.parametrize("value", [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45])
def test_special_values_are_hashed_bit_by_bit(value):
    tree = {"w": np.full(4, value, np.float32)}
    np.testing.assert_array_equal(on_device(tree), on_host(tree))


def test_an_update_has_the_same_digest_alone_and_in_a_stack():
    stack = {"w": draw((5, 4, 5), "float32"), "b": draw((5,), "float32", 1)}
    words = jax.jit(jax.vmap(digest_words))(stack)
    alone = [on_host(jax.tree.map(lambda leaf: leaf[client], stack)) for client in range(5)]  # noqa: B023
    np.testing.assert_array_equal(words_to_bytes(words), np.stack(alone))


def test_words_are_big_endian():
    words = jnp.zeros(8, jnp.uint32).at[:2].set(jnp.array([0x01020304, 0xFFFEFDFC], jnp.uint32))
    assert words_to_bytes(words).tolist() == [1, 2, 3, 4, 255, 254, 253, 252] + [0] * 24


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_words_become_bytes_along_the_last_axis(lead):
    words = draw((*lead, 8), "uint32")
    found = words_to_bytes(words)
    assert (found.shape, found.dtype) == ((*lead, 32), np.uint8)
    assert found.tobytes() == words.astype(">u4").tobytes()


@pytest.mark.parametrize("dtype", ["float64", "int8", "float16", "bool"])
def test_items_of_other_than_four_bytes_are_refused(dtype):
    with pytest.raises(TypeError, match=f"only arrays with 4 bytes an item can be hashed on the device, not {dtype}"):
        digest_words({"a": np.zeros(2, np.float32), "w": np.zeros(3, dtype)})


def test_the_constants_are_the_published_ones():
    """FIPS 180-4, sections 4.2.2 and 5.3.3."""
    assert (INITIAL_STATE.shape, ROUND_CONSTANTS.shape) == ((8,), (64,))
    assert [INITIAL_STATE[0], INITIAL_STATE[-1]] == [0x6A09E667, 0x5BE0CD19]
    assert [ROUND_CONSTANTS[0], ROUND_CONSTANTS[-1]] == [0x428A2F98, 0xC67178F2]
