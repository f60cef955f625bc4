"""The digest of an update as a JAX program: the same 32 bytes as `bofl_jax.core.digest`, computed on the device.

It is written for one update, and the caller uses ``vmap``. Words are uint32, big-endian as in SHA-256. The chunks of an
update, and the nodes of a level, are hashed side by side. National Institute of Standards and Technology, "Secure Hash
Standard", FIPS 180-4, 2015.
"""

from hashlib import sha256
from math import isqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.digest import CHUNK_BYTES
from bofl_jax.core.serialization import layout_of

WORD, BLOCK = 4, 16  # bytes a word, words a block
LEAF, NODE, DIGEST = range(3)


def digest_words(tree: Any) -> jax.Array:
    """Compute the digest of one update or model.

    Args:
        tree: pytree of arrays whose items have 4 bytes (float32, int32, uint32).

    Returns:
        uint32[8], big-endian words.

    Raises:
        TypeError: if an item has another size.
    """
    layout, leaves = layout_of(tree)
    words = _message_words(leaves)
    header = np.frombuffer(sha256(layout.encode()).digest() + (WORD * len(words)).to_bytes(8, "big"), ">u4")
    return _digest(header.astype(np.uint32), _leaf_hashes(words))


def words_to_bytes(words: Any) -> np.ndarray:
    """The bytes uint8[..., 32] of digests uint32[..., 8]."""
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
    """uint32[chunks, 8]; the last chunk may be shorter."""
    size = CHUNK_BYTES // WORD
    whole, rest = divmod(len(words), size)
    messages = [_padded(LEAF, words[: whole * size].reshape(whole, size))]
    blocks = [messages[0].shape[1] // BLOCK] * whole
    if rest or not whole:
        last = _padded(LEAF, words[whole * size :][None])
        blocks.append(last.shape[1] // BLOCK)
        messages = [*messages, jnp.pad(last, ((0, 0), (0, messages[0].shape[1] - last.shape[1])))] if whole else [last]
    return _sha256(jnp.concatenate(messages), np.array(blocks))


def _digest(header: np.ndarray, nodes: jax.Array) -> jax.Array:
    """uint32[8] from the header uint32[10] and the leaf hashes uint32[chunks, 8].

    All levels and the final hash share one loop of one width, because SHA-256 takes long to compile. On each level an
    odd node moves up unchanged.
    """
    rows = max(len(nodes) // 2, 1)
    counts = [len(nodes)]
    while counts[-1] > 1:
        counts.append(-(-counts[-1] // 2))
    index = jnp.arange(len(nodes))[:, None]

    def level(nodes: jax.Array, count: jax.Array) -> tuple[jax.Array, None]:
        pairs = _padded(NODE, jnp.resize(nodes, (rows, BLOCK)))
        final = _padded(DIGEST, jnp.concatenate([jnp.asarray(header), nodes[0]])[None])
        hashes = _sha256(jnp.where(count > 1, pairs, final), np.full(rows, pairs.shape[1] // BLOCK))
        parents = jnp.pad(hashes, ((0, len(nodes) - rows), (0, 0)))
        odd = (count % 2 == 1) & (count > 1) & (index == count // 2)
        return jnp.where(odd, nodes[count - 1], parents), None

    return jax.lax.scan(level, nodes, jnp.array(counts))[0][0]


def _padded(tag: int, messages: jax.Array) -> jax.Array:
    """Put the tag and the padding of SHA-256 around messages ``uint32[n, words]``; the result has whole blocks."""
    count, length = messages.shape[0], messages.shape[1] + 1
    padding = np.zeros(-(length + 3) % BLOCK + 3, np.uint32)
    padding[0], padding[-1] = 0x80000000, 32 * length
    rows = [jnp.broadcast_to(jnp.asarray(row, jnp.uint32), (count, len(row))) for row in ([tag], padding)]
    return jnp.concatenate([rows[0], messages, rows[1]], axis=1)


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found if prime <= isqrt(candidate)):
            found.append(candidate)
        candidate += 1
    return found


def _root_fraction(number: int, degree: int) -> int:
    """The first 32 bits of the fractional part of a root of a number, computed exactly."""
    target, low, high = number << (32 * degree), 0, number << 32
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= target else (low, middle - 1)
    return low & 0xFFFFFFFF


INITIAL_STATE = np.array([_root_fraction(prime, 2) for prime in _primes(8)], np.uint32)
ROUND_CONSTANTS = np.array([_root_fraction(prime, 3) for prime in _primes(64)], np.uint32)


def _sha256(messages: jax.Array, blocks: np.ndarray) -> jax.Array:
    """uint32[n, 8]: SHA-256 of n padded messages uint32[n, words]; row i has ``blocks[i]`` blocks."""
    count, length = messages.shape
    state = jnp.broadcast_to(jnp.asarray(INITIAL_STATE)[:, None], (8, count))
    by_block = messages.reshape(count, length // BLOCK, BLOCK).transpose(1, 2, 0)

    def compress(state: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        block, live = step
        return jnp.where(live, _compress(state, block), state), None

    live = np.arange(length // BLOCK)[:, None] < blocks
    return jax.lax.scan(compress, state, (by_block, jnp.asarray(live)))[0].T


def _compress(state: jax.Array, block: jax.Array) -> jax.Array:
    """Compress one block: state uint32[8, n], block uint32[16, n]; sixteen rounds an iteration."""

    def sixteen(carry: tuple[Any, Any], constants: jax.Array) -> tuple[tuple[Any, Any], None]:
        registers, window = carry
        for index in range(BLOCK):
            registers = _round(registers, window[index] + constants[index])
        return (registers, _next_words(window)), None

    carry = (tuple(state), tuple(block))
    (registers, _), _ = jax.lax.scan(sixteen, carry, jnp.asarray(ROUND_CONSTANTS.reshape(-1, BLOCK)))
    return state + jnp.stack(registers)


def _round(registers: tuple[jax.Array, ...], word: jax.Array) -> tuple[jax.Array, ...]:
    a, b, c, d, e, f, g, h = registers
    first = h + (_rotate_right(e, 6) ^ _rotate_right(e, 11) ^ _rotate_right(e, 25)) + ((e & f) ^ (~e & g)) + word
    second = (_rotate_right(a, 2) ^ _rotate_right(a, 13) ^ _rotate_right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
    return first + second, a, b, c, d + first, e, f, g


def _next_words(window: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    words = list(window)
    for index in range(BLOCK):
        old, near = words[index + 1], words[index + 14]
        low = _rotate_right(old, 7) ^ _rotate_right(old, 18) ^ (old >> 3)
        high = _rotate_right(near, 17) ^ _rotate_right(near, 19) ^ (near >> 10)
        words.append(words[index] + low + words[index + 9] + high)
    return tuple(words[BLOCK:])


def _rotate_right(word: jax.Array, bits: int) -> jax.Array:
    return (word >> bits) | (word << (32 - bits))
