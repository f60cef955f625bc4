"""Channels that alter an update between a client and the server: pure functions of a key and one update."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from bofl_jax.attacks.options import AdversaryOptions

Tree = Any


class Channel(Protocol):
    """Call signature of a channel."""

    def __call__(self, key: jax.Array, update: Tree, /) -> Tree:
        """Return the update that arrives, of the same shapes and types.

        Args:
            key: of the client and the round.
            update: the update that was sent.
        """
        ...


def channel(options: AdversaryOptions) -> Channel | None:
    """The channel that the options name, or None for an honest one."""
    match options.channel:
        case "none":
            return None
        case "sign-flip":
            return scale(-options.strength)
        case "scale":
            return scale(options.strength)
        case "noise":
            return noise(options.strength)
        case "bit-flip":
            return bit_flip


def scale(factor: float) -> Channel:
    """``u -> factor u``; a negative factor reverses the update."""
    return lambda _, update: jax.tree.map(lambda leaf: (factor * leaf).astype(leaf.dtype), update)


def noise(strength: float) -> Channel:
    """``u -> u + strength rms(u) n`` with n standard normal."""

    def transmit(key: jax.Array, update: Tree) -> Tree:
        flat, restore = ravel_pytree(update)
        level = strength * jnp.sqrt(jnp.mean(flat**2))
        return restore(flat + level * jax.random.normal(key, flat.shape, flat.dtype))

    return transmit


def bit_flip(key: jax.Array, update: Tree) -> Tree:
    """Flip one random bit of one random parameter: the smallest possible change.

    Args:
        key: of the client and the round.
        update: the update that was sent.
    """
    flat, restore = ravel_pytree(update)
    words = jax.lax.bitcast_convert_type(flat, jnp.uint32)
    place, bit = jax.random.split(key)
    index = jax.random.randint(place, (), 0, len(words))
    mask = jnp.uint32(1) << jax.random.randint(bit, (), 0, 32).astype(jnp.uint32)
    return restore(jax.lax.bitcast_convert_type(words.at[index].set(words[index] ^ mask), flat.dtype))
