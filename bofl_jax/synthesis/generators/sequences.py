"""Samples as sequences of frames with values in [0, 1], as `timegan` sees them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.synthesis.base import SampleShape
from bofl_jax.synthesis.generators.standardizer import Scaling

MAX_SD = 4.0
"""Standard deviations below and above the mean that become 0 and 1."""


class Sequences(NamedTuple):
    """The layout of samples as sequences: ``frame`` neighbouring time samples are one step, features are channels."""

    shape: SampleShape
    frame: int

    @property
    def steps(self) -> int:
        """Number of frames; the last one may be partly empty."""
        return -(-self.shape.window // self.frame)

    @property
    def channels(self) -> int:
        """Size of a frame with the features."""
        return self.frame * self.shape.leads + self.shape.features

    def fold(self, z: jax.Array) -> jax.Array:
        """Convert vectors ``[B, T*L + F]`` to sequences ``[steps, channels, B]``; features are repeated."""
        cut = self.shape.signal_size
        missing = self.steps * self.frame * self.shape.leads - cut
        x = jnp.pad(z[:, :cut], ((0, 0), (0, missing)), mode="edge").reshape(len(z), self.steps, -1)
        features = jnp.broadcast_to(z[:, None, cut:], (len(z), self.steps, self.shape.features))
        return jnp.moveaxis(jnp.concatenate([x, features], axis=2), 0, -1)

    def unfold(self, x: jax.Array) -> jax.Array:
        """Convert sequences to vectors; features are averaged over time."""
        cut, leads = self.shape.signal_size, self.frame * self.shape.leads
        x = jnp.moveaxis(x, -1, 0)
        return jnp.concatenate([x[:, :, :leads].reshape(len(x), -1)[:, :cut], x[:, :, leads:].mean(axis=1)], axis=1)


def to_unit(z: jax.Array, scaling: Scaling) -> jax.Array:
    """Map standardised values to [0, 1] and clip them there; unscaled values are in [0, 1] already."""
    return z if scaling == "none" else jnp.clip(0.5 + z / (2 * MAX_SD), 0, 1)


def from_unit(unit: jax.Array, scaling: Scaling) -> jax.Array:
    """Map values in [0, 1] back to standardised values."""
    return unit if scaling == "none" else (unit - 0.5) * (2 * MAX_SD)
