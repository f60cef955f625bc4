"""``linear``: softmax regression on all inputs."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from bofl_jax.models.registry import MODELS, Architecture, ArchitectureOptions


class LinearOptions(ArchitectureOptions):
    """``linear``: softmax regression on all inputs side by side."""

    name: Literal["linear"] = "linear"


class Linear(nn.Module):
    """One dense layer."""

    options: LinearOptions
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, features: jax.Array, embed: bool = False) -> jax.Array:
        """Return logits[B,K], or with ``embed`` the inputs[B,T*L+F], of x[B,T,L] and features[B,F]."""
        inputs = jnp.concatenate([x.reshape(len(x), -1), features], axis=-1)
        return inputs if embed else nn.Dense(self.classes)(inputs)


MODELS.register(Architecture(LinearOptions, Linear))
