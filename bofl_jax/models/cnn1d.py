"""``cnn1d``: a 1-D convolutional network for windows of a signal."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from pydantic import Field, model_validator

from bofl_jax.models.layers import Dense, GroupNorm, PatchConv, relu_max_pool, segment_statistics
from bofl_jax.models.registry import MODELS, Architecture, ArchitectureOptions, Size


class Cnn1dOptions(ArchitectureOptions):
    """``cnn1d``: a stack of 1-D convolutions; the features join before the dense layers.

    The defaults are the network of the clinical baselines (30 180 parameters on 128 samples, 7 features, 4 classes).
    """

    name: Literal["cnn1d"] = "cnn1d"
    channels: tuple[Size, ...] = Field((16, 32, 64), description="output channels of each convolution")
    kernels: tuple[Size, ...] = Field((7, 5, 5), description="taps of each convolution")
    strides: tuple[Size, ...] = Field((2, 2, 2), description="stride of each convolution")
    input_stride: int = Field(1, ge=1, le=16, description="keep every n-th input sample")
    pool: bool = Field(False, description="max-pool by 2 after each convolution")
    head: Literal["segments", "flatten"] = Field("segments", description="how time is summarised before the head")
    segments: int = Field(2, ge=1, le=64, description="stretches of time for head = 'segments'")
    hidden: Size = Field(64, description="units of the dense layer")
    norm: Literal["none", "group"] = Field("none", description="GroupNorm after each convolution")
    groups: int = Field(4, ge=1, le=256, description="groups of norm = 'group'")

    @model_validator(mode="after")
    def _same_depth(self) -> "Cnn1dOptions":
        if not self.channels or not len(self.channels) == len(self.kernels) == len(self.strides):
            raise ValueError("channels, kernels and strides must list the same number of layers, at least one")
        if self.norm == "group" and any(width % self.groups for width in self.channels):
            raise ValueError(f"groups = {self.groups} must divide every entry of channels {list(self.channels)}")
        return self


class Cnn1d(nn.Module):
    """1-D convolutional network."""

    options: Cnn1dOptions
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, features: jax.Array, embed: bool = False) -> jax.Array:
        """Return logits[B,K], or with ``embed`` the representation[B,D], of x[B,T,L] and features[B,F]."""
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


def _min_window(options: Cnn1dOptions) -> int:
    """The fewest time samples that leave something to pool after every layer."""
    needed = options.segments if options.head == "segments" else 1
    for stride in reversed(options.strides):
        needed = ((2 * needed if options.pool else needed) - 1) * stride + 1
    return (needed - 1) * options.input_stride + 1


MODELS.register(Architecture(Cnn1dOptions, Cnn1d, _min_window))
