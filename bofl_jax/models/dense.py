"""Networks without a notion of time: softmax regression and the multilayer perceptron."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from bofl_jax.models.options import LinearOptions, MlpOptions


class Mlp(nn.Module):
    """``x[B,T,L], features[B,F] -> logits[B,K]``: all inputs side by side, dense layers with ReLU between them."""

    options: MlpOptions | LinearOptions
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, features: jax.Array, embed: bool = False) -> jax.Array:
        h = jnp.concatenate([x.reshape(len(x), -1), features], axis=-1)
        for units in self.options.hidden if isinstance(self.options, MlpOptions) else ():
            h = nn.relu(nn.Dense(units)(h))
        return h if embed else nn.Dense(self.classes)(h)

    def shortest_window(self) -> int:
        """No sample is needed: the features may be all there is."""
        return 0
