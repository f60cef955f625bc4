"""A recurrent network for windows of a signal."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from bofl_jax.models.options import LstmOptions


class Lstm(nn.Module):
    """``x[B,T,L], features[B,F] -> logits[B,K]``; the window is read in frames, the last state is classified."""

    options: LstmOptions
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, features: jax.Array, embed: bool = False) -> jax.Array:
        batch, length, leads = x.shape
        frames = -(-length // self.options.frame)
        x = jnp.pad(x, ((0, 0), (0, frames * self.options.frame - length), (0, 0)))
        x = x.reshape(batch, frames, self.options.frame * leads)
        (_, last), _ = nn.RNN(nn.OptimizedLSTMCell(self.options.units), return_carry=True)(x)
        joined = jnp.concatenate([last, features], axis=-1)
        hidden = nn.relu(nn.Dense(self.options.hidden)(joined))
        return hidden if embed else nn.Dense(self.classes)(hidden)

    def shortest_window(self) -> int:
        """One sample is enough: the last frame is padded."""
        return 1
