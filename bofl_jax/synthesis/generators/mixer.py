"""The denoising network of `diffusion`: an MLP-Mixer over tokens of a sample.

``frame`` neighbouring time samples are one token, the F features together are another. Blocks mix over tokens and over
channels in turn, and FiLM layers condition them on the noise level and the class. All layers are matrix products,
which stay matrix products under vmap.

References:
    Tolstikhin et al.: MLP-Mixer: An all-MLP architecture for vision. NeurIPS, 2021.
    Perez et al.: FiLM: Visual reasoning with a general conditioning layer. AAAI, 2018.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from bofl_jax.synthesis.base import SampleShape

# Names of parameters and modules below are explicit where the class has been renamed since the first release: initial
# values and digests on the ledger follow from them.
FILM, BLOCK = "Told_0", "MixOver_{}"


class Mixer(nn.Module):
    """The network: ``z[B, D], noise_level float32[B] in [0, 1], y int32[B] -> [B, D]``."""

    shape: SampleShape
    channels: int
    depth: int
    frame: int

    @nn.compact
    def __call__(self, z: jax.Array, noise_level: jax.Array, y: jax.Array) -> jax.Array:
        """Predict the target of denoising; see `diffusion.training_target`.

        Args:
            z: float32[B, D], noisy standardised samples.
            noise_level: float32[B], in [0, 1].
            y: int32[B], classes.
        """
        condition = nn.Dense(self.channels)(sinusoidal_embedding(noise_level, self.channels))
        condition = nn.swish(condition + nn.Embed(self.shape.num_classes, self.channels)(y))
        tokens = self.to_tokens(z)
        tokens = tokens + self.param("place", nn.initializers.normal(0.02), tokens.shape[1:])
        for layer in range(self.depth):
            tokens = tokens + MixerBlock("tokens", name=BLOCK.format(2 * layer))(tokens, condition)
            tokens = tokens + MixerBlock("channels", name=BLOCK.format(2 * layer + 1))(tokens, condition)
        return self.to_entries(FiLM(name=FILM)(tokens, condition))

    def to_tokens(self, z: jax.Array) -> jax.Array:
        """Project frames and features to tokens: ``[B, D] -> [B, tokens, channels]``."""
        cut = self.shape.signal_size
        frame = self.frame * self.shape.leads
        padded = jnp.pad(z[:, :cut], ((0, 0), (0, -cut % frame)))
        tokens = nn.Dense(self.channels, name="frame_in")(padded.reshape(len(z), -1, frame))
        if not self.shape.features:
            return tokens
        return jnp.concatenate([tokens, nn.Dense(self.channels, name="features_in")(z[:, None, cut:])], axis=1)

    def to_entries(self, tokens: jax.Array) -> jax.Array:
        """Project tokens to entries: ``[B, tokens, channels] -> [B, D]``, initially zero."""
        cut = self.shape.signal_size
        zeros = nn.initializers.zeros_init()
        count = -(-self.shape.window // self.frame)
        frames = nn.Dense(self.frame * self.shape.leads, kernel_init=zeros, name="frame_out")(tokens[:, :count])
        entries = frames.reshape(len(tokens), -1)[:, :cut]
        if not self.shape.features:
            return entries
        features = nn.Dense(self.shape.features, kernel_init=zeros, name="features_out")(tokens[:, -1])
        return jnp.concatenate([entries, features], axis=1)


class FiLM(nn.Module):
    """Layer normalisation with a scale and shift computed from the condition."""

    @nn.compact
    def __call__(self, tokens: jax.Array, condition: jax.Array) -> jax.Array:
        """Normalise and modulate tokens.

        Args:
            tokens: float32[B, tokens, channels].
            condition: float32[B, channels].

        Returns:
            float32[B, tokens, channels].
        """
        gain, shift = jnp.split(nn.Dense(2 * tokens.shape[-1])(condition)[:, None], 2, axis=-1)
        normalised: jax.Array = nn.LayerNorm(use_scale=False, use_bias=False)(tokens)
        return normalised * (1 + gain) + shift


class MixerBlock(nn.Module):
    """A two-layer perceptron over the tokens of each channel, or over the channels of each token."""

    axis: Literal["tokens", "channels"]

    @nn.compact
    def __call__(self, tokens: jax.Array, condition: jax.Array) -> jax.Array:
        """Compute the residual of the block.

        Args:
            tokens: float32[B, tokens, channels].
            condition: float32[B, channels].

        Returns:
            float32[B, tokens, channels].
        """
        x = FiLM(name=FILM)(tokens, condition)
        x = jnp.swapaxes(x, 1, 2) if self.axis == "tokens" else x
        size = x.shape[-1]
        x = nn.Dense(size, kernel_init=nn.initializers.normal(0.02))(nn.gelu(nn.Dense(2 * size)(x)))
        return jnp.swapaxes(x, 1, 2) if self.axis == "tokens" else x


def sinusoidal_embedding(x: jax.Array, channels: int) -> jax.Array:
    """Sines and cosines of a number in [0, 1], with periods from 2 pi down to 0.006.

    Args:
        x: float32[B].
        channels: number of sines and cosines, even.

    Returns:
        float32[B, channels].
    """
    frequencies = jnp.exp(jnp.linspace(0.0, math.log(1000.0), channels // 2))
    angles = x[:, None] * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)
