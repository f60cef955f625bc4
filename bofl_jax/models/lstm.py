"""``lstm``: a recurrent network for windows of a signal."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from pydantic import Field

from bofl_jax.models.registry import MODELS, Architecture, ArchitectureOptions, Size


class LstmOptions(ArchitectureOptions):
    """``lstm``: one LSTM over frames of the window; the features join before the dense layers."""

    name: Literal["lstm"] = "lstm"
    frame: int = Field(8, ge=1, le=256, description="time samples fed to the LSTM in one step")
    units: Size = Field(32, description="hidden units of the LSTM")
    hidden: Size = Field(32, description="units of the dense layer")


class Lstm(nn.Module):
    """LSTM that reads a window frame by frame; its last state is classified."""

    options: LstmOptions
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, features: jax.Array, embed: bool = False) -> jax.Array:
        """Return logits[B,K], or with ``embed`` the representation[B,D], of x[B,T,L] and features[B,F]."""
        batch, length, leads = x.shape
        frames = -(-length // self.options.frame)
        x = jnp.pad(x, ((0, 0), (0, frames * self.options.frame - length), (0, 0)))
        x = x.reshape(batch, frames, self.options.frame * leads)
        (_, last), _ = nn.RNN(nn.OptimizedLSTMCell(self.options.units), return_carry=True)(x)
        joined = jnp.concatenate([last, features], axis=-1)
        hidden = nn.relu(nn.Dense(self.options.hidden)(joined))
        return hidden if embed else nn.Dense(self.classes)(hidden)


def _min_window(_: LstmOptions) -> int:
    """One sample, because the last frame is padded."""
    return 1


MODELS.register(Architecture(LstmOptions, Lstm, _min_window))
