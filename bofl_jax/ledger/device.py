"""The digest of an update as a JAX program: the same 32 bytes as `bofl_jax.ledger.digest`, without leaving the device.

Written for one update; the caller vmaps. Words are uint32 as SHA-256 sees them, big-endian; the chunks of an update,
and the nodes of a level, are hashed side by side. National Institute of Standards and Technology, "Secure Hash
Standard", FIPS 180-4, 2015.
"""

from hashlib import sha256
from math import isqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.layout import layout_of
from bofl_jax.ledger.digest import CHUNK

WORD, BLOCK = 4, 16  # bytes a word, words a block
LEAF, NODE, DIGEST = range(3)
UNROLL = 16


def digest_words(tree: Any) -> jax.Array:
    """uint32[8]: the digest of one update or model.

    Args:
        tree: pytree of arrays whose items have 4 bytes (float32, int32, uint32).

    Raises:
        TypeError: if an item has another size.
    """
    layout, leaves = layout_of(tree)
    words = _message_words(leaves)
    header = np.frombuffer(sha256(layout.encode()).digest() + (WORD * len(words)).to_bytes(8, "big"), ">u4")
    root = _root(_leaf_hashes(words))
    return _sha256(jnp.concatenate([_tag(DIGEST), jnp.asarray(header.astype(np.uint32)), root])[None])[0]


def words_to_bytes(words: Any) -> np.ndarray:
    """uint8[..., 32] of digests uint32[..., 8]."""
    big = np.ascontiguousarray(np.asarray(words), ">u4")
    return big.view(np.uint8).reshape(*big.shape[:-1], 32)


def _message_words(leaves: list[jax.Array]) -> jax.Array:
    """The leaves' little-endian bytes as big-endian words."""
    for leaf in leaves:
        if leaf.dtype.itemsize != WORD:
            raise TypeError(f"only arrays with 4 bytes an item can be hashed on the device, not {leaf.dtype}")
    flat = [jax.lax.bitcast_convert_type(leaf, jnp.uint32).reshape(-1) for leaf in leaves]
    words = jnp.concatenate([*flat, jnp.zeros(0, jnp.uint32)])
    return (words << 24) | ((words << 8) & 0x00FF0000) | ((words >> 8) & 0x0000FF00) | (words >> 24)


def _leaf_hashes(words: jax.Array) -> jax.Array:
    """uint32[chunks, 8]."""
    size = CHUNK // WORD
    whole = len(words) // size
    hashes = []
    if whole:
        hashes.append(_sha256(_tagged(LEAF, words[: whole * size].reshape(whole, size))))
    if len(words) % size or not whole:
        hashes.append(_sha256(_tagged(LEAF, words[whole * size :][None])))
    return jnp.concatenate(hashes)


def _root(nodes: jax.Array) -> jax.Array:
    """uint32[8]; an odd node moves up unchanged."""
    while len(nodes) > 1:
        pairs = len(nodes) // 2
        parents = _sha256(_tagged(NODE, nodes[: 2 * pairs].reshape(pairs, 16)))
        nodes = jnp.concatenate([parents, nodes[2 * pairs :]])
    return nodes[0]


def _tag(tag: int) -> jax.Array:
    return jnp.full(1, tag, jnp.uint32)


def _tagged(tag: int, messages: jax.Array) -> jax.Array:
    return jnp.concatenate([jnp.full((len(messages), 1), tag, jnp.uint32), messages], axis=1)


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found if prime <= isqrt(candidate)):
            found.append(candidate)
        candidate += 1
    return found


def _root_fraction(number: int, degree: int) -> int:
    """The first 32 bits of the fractional part of the degree-th root of a number, exactly."""
    target, low, high = number << (32 * degree), 0, number << 32
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= target else (low, middle - 1)
    return low & 0xFFFFFFFF


START = np.array([_root_fraction(prime, 2) for prime in _primes(8)], np.uint32)
CONSTANTS = np.array([_root_fraction(prime, 3) for prime in _primes(64)], np.uint32)


def _sha256(messages: jax.Array) -> jax.Array:
    """uint32[n, 8]: SHA-256 of n messages uint32[n, words] of one length."""
    count, length = messages.shape
    blocks = -(-(length + 3) // BLOCK)
    padding = np.zeros(blocks * BLOCK - length, np.uint32)
    padding[0], padding[-1] = 0x80000000, 32 * length
    padded = jnp.concatenate([messages, jnp.broadcast_to(jnp.asarray(padding), (count, len(padding)))], axis=1)
    state = jnp.broadcast_to(jnp.asarray(START)[:, None], (8, count))
    by_block = padded.reshape(count, blocks, BLOCK).transpose(1, 2, 0)
    return jax.lax.scan(lambda state, block: (_compress(state, block), None), state, by_block)[0].T


def _compress(state: jax.Array, block: jax.Array) -> jax.Array:
    """One block: state uint32[8, n], block uint32[16, n]. Sixteen rounds at a time, each window from the last."""

    def sixteen(carry: tuple[Any, Any], constants: jax.Array) -> tuple[tuple[Any, Any], None]:
        registers, window = carry
        for index in range(UNROLL):
            registers = _round(registers, window[index] + constants[index])
        return (registers, _next_words(window)), None

    carry = (tuple(state), tuple(block))
    (registers, _), _ = jax.lax.scan(sixteen, carry, jnp.asarray(CONSTANTS.reshape(-1, UNROLL)))
    return state + jnp.stack(registers)


def _round(registers: tuple[jax.Array, ...], word: jax.Array) -> tuple[jax.Array, ...]:
    a, b, c, d, e, f, g, h = registers
    first = h + (_turn(e, 6) ^ _turn(e, 11) ^ _turn(e, 25)) + ((e & f) ^ (~e & g)) + word
    second = (_turn(a, 2) ^ _turn(a, 13) ^ _turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
    return first + second, a, b, c, d + first, e, f, g


def _next_words(window: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    words = list(window)
    for index in range(UNROLL):
        old, near = words[index + 1], words[index + 14]
        low = _turn(old, 7) ^ _turn(old, 18) ^ (old >> 3)
        high = _turn(near, 17) ^ _turn(near, 19) ^ (near >> 10)
        words.append(words[index] + low + words[index + 9] + high)
    return tuple(words[BLOCK:])


def _turn(word: jax.Array, bits: int) -> jax.Array:
    return (word >> bits) | (word << (32 - bits))
