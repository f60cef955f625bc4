"""Gated recurrent units over whole sequences, laid out for speed: time is the first axis, the batch is the last.

One matrix product projects the inputs of all steps before the scan over time. Inside the scan, the three gates share
one product with the state::

    r, z = s(A_rz x + b_rz + R_rz h)
    n    = tanh(A_n x + b_n + r (R_n h + c))
    h'   = (1 - z) n + z h

This is Flax's `GRUCell` (and cuDNN's): the reset gate acts after the product with the state. In TensorFlow 1, which the
authors of TimeGAN used, it acts before, so that a second product has to wait for the first.

With the batch as the last axis, gates are contiguous slices, and every elementwise loop is as long as the batch even
for few units. All gates use one rational approximation of tanh, which needs a few products and no exponential: the
forward pass of a layer of 24 units over 24 steps of 128 sequences takes a fifth of the time on a CPU core.

References:
    Cho et al.: Learning phrase representations using RNN encoder-decoder for statistical machine translation. EMNLP,
    2014.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

UNROLL = 1
"""Time steps in one iteration of the compiled loop. More were not faster (24 steps, 24 units, batch 128) and slower to
compile."""

ODD = (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08)
ODD_HIGH = (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16)
EVEN = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
"""Coefficients of Eigen's ``tanh x = x odd(x^2) / even(x^2)``, lowest power first."""
SATURATION = 7.9
"""From here on tanh is 1 in float32."""


class Gru(nn.Module):
    """A layer: ``x[T, D, B] -> h[T, units, B]``, starting from ``h = 0``.

    Parameters:
        inputs: float32[D, 3 units], kernel of the inputs for the gates r, z, n; initially LeCun's normal.
        states: float32[units, 3 units], kernel of the state; initially orthogonal for each gate.
        bias: float32[3 units], added to the projected inputs.
        state_bias: float32[units], c; multiplied by the reset gate.
    """

    units: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the layer to sequences float32[T, D, B]."""
        inputs = self.param("inputs", nn.initializers.lecun_normal(), (x.shape[1], 3 * self.units))
        states = self.param("states", gru_orthogonal_init, (self.units, 3 * self.units))
        bias = self.param("bias", nn.initializers.zeros_init(), (3 * self.units,))
        state_bias = self.param("state_bias", nn.initializers.zeros_init(), (self.units,))
        return gru(time_distributed(inputs, x) + bias[:, None], states, state_bias)


class GruStack(nn.Module):
    """A stack of layers: ``x[T, D, B] -> h[T, units, B]``."""

    units: int
    layers: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the layers to sequences float32[T, D, B]."""
        for _ in range(self.layers):
            x = Gru(self.units)(x)
        return x


def gru(projected: jax.Array, states: jax.Array, state_bias: jax.Array) -> jax.Array:
    """Run the recurrence over time.

    Args:
        projected: float32[T, 3H, B], projected inputs of the gates r, z, n.
        states: float32[H, 3H], kernel of the state.
        state_bias: float32[H], bias within the reset of n.

    Returns:
        float32[T, H, B], the state after every step.
    """
    units, batch = len(state_bias), projected.shape[2]

    def step(h: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        recurrent = states.T @ h
        r, z = jnp.split(rational_sigmoid(inputs[: 2 * units] + recurrent[: 2 * units]), 2)
        n = rational_tanh(inputs[2 * units :] + r * (recurrent[2 * units :] + state_bias[:, None]))
        h = n + z * (h - n)
        return h, h

    return lax.scan(step, jnp.zeros((units, batch), projected.dtype), projected, unroll=UNROLL)[1]


def time_distributed(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """Multiply every step by a kernel, ``kernel[D, O], x[T, D, B] -> [T, O, B]``, without a transposed copy of x."""
    return jnp.broadcast_to(kernel.T, (len(x), *kernel.T.shape)) @ x


@jax.custom_jvp
def rational_tanh(x: jax.Array) -> jax.Array:
    """Approximate tanh in float32, with an error below 2.5e-7."""
    x = jnp.clip(x, -SATURATION, SATURATION)
    square = x * x
    return x * _polynomial(ODD + ODD_HIGH, square) / _polynomial(EVEN, square)


@rational_tanh.defjvp
def _rational_tanh_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    y = rational_tanh(primals[0])
    return y, (1 - y * y) * tangents[0]


def rational_sigmoid(x: jax.Array) -> jax.Array:
    """Approximate ``1 / (1 + exp(-x))`` by `rational_tanh`."""
    return 0.5 + 0.5 * rational_tanh(0.5 * x)


def _polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def gru_orthogonal_init(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Draw three orthogonal matrices side by side.

    Args:
        key: random key.
        shape: (H, 3H).

    Returns:
        float32[H, 3H].
    """
    orthogonal = nn.initializers.orthogonal()
    return jnp.concatenate([orthogonal(each, (shape[0], shape[0])) for each in jax.random.split(key, 3)], axis=1)
