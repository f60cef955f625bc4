"""What happens to an update between a client and the server: pure functions of a key and one client's update."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from bofl_jax.attacks.options import AdversaryOptions

Tree = Any
Channel = Callable[[jax.Array, Tree], Tree]
"""key, the update sent -> the update received, of the same shapes and types."""


def channel(options: AdversaryOptions) -> Channel | None:
    """The channel that the options name; None where it alters nothing."""
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
    """``u -> factor u``; a negative factor turns the update round."""
    return lambda _, update: jax.tree.map(lambda leaf: (factor * leaf).astype(leaf.dtype), update)


def noise(strength: float) -> Channel:
    """``u -> u + strength rms(u) n`` with n standard normal."""

    def send(key: jax.Array, update: Tree) -> Tree:
        flat, restore = ravel_pytree(update)
        level = strength * jnp.sqrt(jnp.mean(flat**2))
        return restore(flat + level * jax.random.normal(key, flat.shape, flat.dtype))

    return send


def bit_flip(key: jax.Array, update: Tree) -> Tree:
    """One bit of one parameter: the smallest change there is."""
    flat, restore = ravel_pytree(update)
    words = jax.lax.bitcast_convert_type(flat, jnp.uint32)
    place, bit = jax.random.split(key)
    index = jax.random.randint(place, (), 0, len(words))
    mask = jnp.uint32(1) << jax.random.randint(bit, (), 0, 32).astype(jnp.uint32)
    return restore(jax.lax.bitcast_convert_type(words.at[index].set(words[index] ^ mask), flat.dtype))
