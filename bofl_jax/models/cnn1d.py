"""A 1-D convolutional network for windows of a signal."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from bofl_jax.models.layers import Dense, GroupNorm, PatchConv, relu_max_pool, segment_statistics
from bofl_jax.models.options import Cnn1dOptions


class Cnn1d(nn.Module):
    """``x[B,T,L], features[B,F] -> logits[B,K]``."""

    options: Cnn1dOptions
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, features: jax.Array, embed: bool = False) -> jax.Array:
        options = self.options
        h = x[:, :: options.input_stride].transpose(2, 1, 0)
        for channels, kernel, stride in zip(options.channels, options.kernels, options.strides, strict=True):
            h = PatchConv(channels, kernel, stride)(h)
            if options.norm == "group":
                h = GroupNorm(options.groups)(h)
            h = relu_max_pool(h) if options.pool else nn.relu(h)
        flat = segment_statistics(h, options.segments) if options.head == "segments" else h.reshape(-1, h.shape[-1])
        hidden = nn.relu(Dense(options.hidden)(jnp.concatenate([flat, features.T])))
        return hidden.T if embed else Dense(self.classes)(hidden).T

    def shortest_window(self) -> int:
        """The fewest time samples that leave something to pool in every layer."""
        needed = self.options.segments if self.options.head == "segments" else 1
        for stride in reversed(self.options.strides):
            needed = ((2 * needed if self.options.pool else needed) - 1) * stride + 1
        return (needed - 1) * self.options.input_stride + 1
