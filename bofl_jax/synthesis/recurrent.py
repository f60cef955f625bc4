"""Gated recurrent units over whole sequences, laid out for speed: time first, batch last.

The inputs of all steps are projected by one matrix product before the scan over time, and the three gates share one
product with the state inside it::

    r, z = s(A_rz x + b_rz + R_rz h)
    n    = tanh(A_n x + b_n + r (R_n h + c))
    h'   = (1 - z) n + z h

This is Flax's `GRUCell` (and cuDNN's): the reset gate acts after the product with the state. In TensorFlow 1, which the
authors of TimeGAN used, it acts before, which needs a second product that waits for the first.

With the batch as the last axis, gates are contiguous slices and every elementwise loop is as long as the batch, however
few units there are.

References:
    Cho et al.: Learning phrase representations using RNN encoder-decoder for statistical machine translation. EMNLP,
    2014.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

STEPS_AT_ONCE = 1
"""Steps of time in one turn of the compiled loop: more were no faster (24 steps, 24 units, batch 128), but slow to
compile."""


class Gru(nn.Module):
    """A layer: ``x[T, D, B] -> h[T, units, B]``, from ``h = 0``.

    Parameters:
        inputs: float32[D, 3 units], gates r, z, n; LeCun's normal at first.
        states: float32[units, 3 units], likewise; each gate's part is orthogonal at first.
        bias: float32[3 units], beside the inputs.
        state_bias: float32[units], within the reset of n.
    """

    units: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inputs = self.param("inputs", nn.initializers.lecun_normal(), (x.shape[1], 3 * self.units))
        states = self.param("states", three_orthogonal, (self.units, 3 * self.units))
        bias = self.param("bias", nn.initializers.zeros_init(), (3 * self.units,))
        state_bias = self.param("state_bias", nn.initializers.zeros_init(), (self.units,))
        return gru(jnp.einsum("do,tdb->tob", inputs, x) + bias[:, None], states, state_bias)


class GruStack(nn.Module):
    """Layers one after the other: ``x[T, D, B] -> h[T, units, B]``."""

    units: int
    layers: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(self.layers):
            x = Gru(self.units)(x)
        return x


def gru(projected: jax.Array, states: jax.Array, state_bias: jax.Array) -> jax.Array:
    """The recurrence.

    Args:
        projected: float32[T, 3H, B], what the inputs give to the gates r, z, n.
        states: float32[H, 3H].
        state_bias: float32[H].

    Returns:
        float32[T, H, B], the state after every step.
    """
    units, batch = len(state_bias), projected.shape[2]

    def step(h: jax.Array, given: jax.Array) -> tuple[jax.Array, jax.Array]:
        recalled = states.T @ h
        r, z = jnp.split(nn.sigmoid(given[: 2 * units] + recalled[: 2 * units]), 2)
        n = jnp.tanh(given[2 * units :] + r * (recalled[2 * units :] + state_bias[:, None]))
        h = n + z * (h - n)
        return h, h

    return lax.scan(step, jnp.zeros((units, batch), projected.dtype), projected, unroll=STEPS_AT_ONCE)[1]


def three_orthogonal(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Three orthogonal squares side by side: float32[H, 3H]."""
    square = nn.initializers.orthogonal()
    return jnp.concatenate([square(each, (shape[0], shape[0])) for each in jax.random.split(key, 3)], axis=1)
