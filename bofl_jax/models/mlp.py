"""``mlp``: a multilayer perceptron on all inputs, without a notion of time."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from pydantic import Field

from bofl_jax.models.registry import MODELS, Architecture, ArchitectureOptions, Size


class MlpOptions(ArchitectureOptions):
    """``mlp``: dense layers on all inputs side by side."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Size, ...] = Field((64,), min_length=1, description="units of each hidden layer")


class Mlp(nn.Module):
    """Dense layers with ReLU between them."""

    options: MlpOptions
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, features: jax.Array, embed: bool = False) -> jax.Array:
        """Return logits[B,K], or with ``embed`` the representation[B,D], of x[B,T,L] and features[B,F]."""
        h = jnp.concatenate([x.reshape(len(x), -1), features], axis=-1)
        for units in self.options.hidden:
            h = nn.relu(nn.Dense(units)(h))
        return h if embed else nn.Dense(self.classes)(h)


MODELS.register(Architecture(MlpOptions, Mlp))
