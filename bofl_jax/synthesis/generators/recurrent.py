"""Gated recurrent units over whole sequences, laid out for speed: time first, batch last.

The inputs of all steps are projected by one matrix product before the scan over time, and the three gates share one
product with the state inside it::

    r, z = s(A_rz x + b_rz + R_rz h)
    n    = tanh(A_n x + b_n + r (R_n h + c))
    h'   = (1 - z) n + z h

This is Flax's `GRUCell` (and cuDNN's): the reset gate acts after the product with the state. In TensorFlow 1, which the
authors of TimeGAN used, it acts before, which needs a second product that waits for the first.

With the batch as the last axis, gates are contiguous slices and every elementwise loop is as long as the batch, however
few units there are. The gates are all made of one rational approximation of tanh, which costs a few products and no
exponential: a layer of 24 units over 24 steps of 128 rows takes a fifth of the time forwards on a CPU core.

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

ODD = (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08)
ODD_HIGH = (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16)
EVEN = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
"""Eigen's ``tanh x = x odd(x^2) / even(x^2)``, lowest power first."""
FLAT = 7.9
"""From here on tanh is 1 in float32."""


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
        return gru(at_every_step(inputs, x) + bias[:, None], states, state_bias)


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
        r, z = jnp.split(quick_sigmoid(given[: 2 * units] + recalled[: 2 * units]), 2)
        n = quick_tanh(given[2 * units :] + r * (recalled[2 * units :] + state_bias[:, None]))
        h = n + z * (h - n)
        return h, h

    return lax.scan(step, jnp.zeros((units, batch), projected.dtype), projected, unroll=STEPS_AT_ONCE)[1]


def at_every_step(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """``kernel[D, O], x[T, D, B] -> [T, O, B]``: the form that needs no transposed copy of x."""
    return jnp.broadcast_to(kernel.T, (len(x), *kernel.T.shape)) @ x


@jax.custom_jvp
def quick_tanh(x: jax.Array) -> jax.Array:
    """tanh, within 2.5e-7 in float32."""
    x = jnp.clip(x, -FLAT, FLAT)
    square = x * x
    return x * _polynomial(ODD + ODD_HIGH, square) / _polynomial(EVEN, square)


@quick_tanh.defjvp
def _slope(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    y = quick_tanh(primals[0])
    return y, (1 - y * y) * tangents[0]


def quick_sigmoid(x: jax.Array) -> jax.Array:
    """``1 / (1 + exp(-x))``, likewise."""
    return 0.5 + 0.5 * quick_tanh(0.5 * x)


def _polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def three_orthogonal(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Three orthogonal squares side by side: float32[H, 3H]."""
    square = nn.initializers.orthogonal()
    return jnp.concatenate([square(each, (shape[0], shape[0])) for each in jax.random.split(key, 3)], axis=1)
