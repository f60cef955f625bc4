"""Layers written for one batch of one client, in forms that stay matrix products under ``vmap`` over clients.

A convolution under ``vmap`` over client weights becomes a grouped convolution, which is ten times slower on CPU than
the same sum written as patches times a matrix; so every 1-D convolution here is a patch x matrix product.

Inside a convolutional network the batch comes last, ``[C, T, B]``: a shift in time is then one contiguous slice, and
forward and backward products all have the one form that XLA's CPU library multiplies fast (benchmarks/NOTES.md).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax


def _dot(left: jax.Array, right: jax.Array, over: tuple[int, int]) -> jax.Array:
    return lax.dot_general(left, right, (((over[0],), (over[1],)), ((), ())))


@jax.custom_vjp
def product(weight: jax.Array, x: jax.Array) -> jax.Array:
    """``weight[K, M], x[K, N] -> [M, N]``: the product of the transposed weight with x; only reverse mode is defined.

    The small weight is transposed by a copy (the barrier keeps it one) and no product is, in either direction.
    """
    return _dot(lax.optimization_barrier(weight.T), x, (1, 0))


def _product_forward(weight: jax.Array, x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return product(weight, x), (weight, x)


def _product_backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    weight, x = saved
    return _dot(x, gradient, (1, 1)), _dot(weight, gradient, (1, 0))


product.defvjp(_product_forward, _product_backward)


def patches(x: jax.Array, kernel: int, stride: int) -> jax.Array:
    """Cut windows for a 1-D convolution with "SAME" padding.

    Args:
        x: ``[L, T, B]``.
        kernel: taps of a window.
        stride: samples from one window to the next.

    Returns:
        ``[kernel * L, ceil(T / stride), B]``; output t holds samples ``t*stride - left ... + kernel``, zero outside,
        tap by tap.
    """
    leads, length, batch = x.shape
    outputs = -(-length // stride)
    strides = outputs + -(-kernel // stride) - 1
    left = max((outputs - 1) * stride + kernel - length, 0) // 2
    right = strides * stride - length - left
    x = jnp.pad(x, ((0, 0), (left, max(right, 0)), (0, 0)))[:, : strides * stride]
    x = x.reshape(leads, strides, stride, batch)
    taps = [divmod(tap, stride) for tap in range(kernel)]
    return jnp.concatenate([x[:, whole : whole + outputs, rest] for whole, rest in taps])


class PatchConv(nn.Module):
    """1-D convolution, "SAME" padding, as patches x matrix. ``[L, T, B] -> [channels, ceil(T/stride), B]``."""

    channels: int
    kernel: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel * x.shape[0], self.channels)
        weight = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.channels,))
        cut = patches(x, self.kernel, self.stride)
        flat = product(weight, cut.reshape(len(cut), -1))
        return flat.reshape(self.channels, *cut.shape[1:]) + bias[:, None, None]


class Dense(nn.Module):
    """Dense layer with the batch last: ``[F, B] -> [units, B]``. Parameters as those of ``flax.linen.Dense``."""

    units: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        weight = self.param("kernel", nn.initializers.lecun_normal(), (len(x), self.units))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.units,))
        return product(weight, x) + bias[:, None]


class GroupNorm(nn.Module):
    """Normalise each sample over time and each group of channels (Wu & He 2018): ``[C, T, B] -> [C, T, B]``."""

    groups: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        grouped = x.reshape(self.groups, -1, *x.shape[1:])
        return nn.LayerNorm(reduction_axes=(1, 2), feature_axes=(0, 1))(grouped).reshape(x.shape)


@jax.custom_vjp
def relu_max_pool(x: jax.Array) -> jax.Array:
    """ReLU of the maximum over pairs of neighbours on the middle axis, time: ``[C, T, B] -> [C, T // 2, B]``.

    The gradient goes to the larger of the two (the first on a tie) where it is positive. It is written out because
    what ``maximum`` derives costs more than the convolution before it; only reverse mode is defined.
    """
    first, second = _pairs(x)
    return jnp.maximum(jnp.maximum(first, second), 0)


def _pairs(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    channels, length, batch = x.shape
    paired = x[:, : length // 2 * 2].reshape(channels, length // 2, 2 * batch)
    return paired[..., :batch], paired[..., batch:]


def _pool_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return relu_max_pool(x), x


def _pool_backward(x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    first, second = _pairs(x)
    to_first = jnp.where((first >= second) & (first > 0), gradient, 0)
    to_second = jnp.where((second > first) & (second > 0), gradient, 0)
    channels, length, batch = x.shape
    paired = jnp.concatenate([to_first, to_second], axis=-1).reshape(channels, length // 2 * 2, batch)
    return (jnp.pad(paired, ((0, 0), (0, length % 2), (0, 0))),)


relu_max_pool.defvjp(_pool_forward, _pool_backward)


def segment_statistics(x: jax.Array, segments: int) -> jax.Array:
    """Maximum and mean over each of ``segments`` equal stretches of time: ``[C, T, B] -> [2 * segments * C, B]``."""
    channels, length, batch = x.shape
    x = x[:, : length // segments * segments].reshape(channels, segments, length // segments, batch)
    return jnp.concatenate([x.max(axis=2), x.mean(axis=2)], axis=1).reshape(-1, batch)
