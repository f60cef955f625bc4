"""Layers written for one batch of one client, in forms that stay matrix products under ``vmap`` over clients.

A convolution under ``vmap`` over client weights becomes a grouped convolution, which is ten times slower on CPU than
the same sum written as patches times a matrix; so every 1-D convolution here is a patch x matrix product.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn


def patches(x: jax.Array, kernel: int, stride: int) -> jax.Array:
    """Cut windows for a 1-D convolution with "SAME" padding.

    Args:
        x: ``[B, T, L]``.
        kernel: taps of a window.
        stride: samples from one window to the next.

    Returns:
        ``[B, ceil(T / stride), kernel * L]``; output t holds samples ``t*stride - left ... + kernel``, zero outside.
    """
    batch, length, leads = x.shape
    outputs = -(-length // stride)
    blocks = -(-kernel // stride)
    left = max((outputs - 1) * stride + kernel - length, 0) // 2
    right = (outputs + blocks - 1) * stride - length - left
    # Whole strides side by side: every slice below is then contiguous, the last one short when stride does not divide.
    x = jnp.pad(x, ((0, 0), (left, max(right, 0)), (0, 0)))[:, : (outputs + blocks - 1) * stride]
    x = x.reshape(batch, outputs + blocks - 1, stride * leads)
    last = (kernel - (blocks - 1) * stride) * leads
    widths = [stride * leads] * (blocks - 1) + [last]
    return jnp.concatenate([x[:, i : i + outputs, :width] for i, width in enumerate(widths)], axis=-1)


class PatchConv(nn.Module):
    """1-D convolution, "SAME" padding, as patches x matrix. ``[B, T, L] -> [B, ceil(T/stride), channels]``."""

    channels: int
    kernel: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel * x.shape[-1], self.channels)
        weight = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.channels,))
        cut = patches(x, self.kernel, self.stride)
        # As one matrix: of a product with two leading axes, XLA transposes the weights' gradient with a copy on CPU.
        flat = cut.reshape(-1, cut.shape[-1]) @ weight
        return flat.reshape(*cut.shape[:2], self.channels) + bias


@jax.custom_vjp
def relu_max_pool(x: jax.Array) -> jax.Array:
    """ReLU of the maximum over pairs of neighbours in time: ``[B, T, C] -> [B, T // 2, C]``.

    The gradient goes to the larger of the two (the first on a tie) where it is positive. It is written out because
    what ``maximum`` derives costs more than the convolution before it; only reverse mode is defined.
    """
    first, second = _pairs(x)
    return jnp.maximum(jnp.maximum(first, second), 0)


def _pairs(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    batch, length, channels = x.shape
    paired = x[:, : length // 2 * 2].reshape(batch, length // 2, 2 * channels)
    return paired[..., :channels], paired[..., channels:]


def _pool_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return relu_max_pool(x), x


def _pool_backward(x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    first, second = _pairs(x)
    to_first = jnp.where((first >= second) & (first > 0), gradient, 0)
    to_second = jnp.where((second > first) & (second > 0), gradient, 0)
    batch, length, channels = x.shape
    paired = jnp.concatenate([to_first, to_second], axis=-1).reshape(batch, length // 2 * 2, channels)
    return (jnp.pad(paired, ((0, 0), (0, length % 2), (0, 0))),)


relu_max_pool.defvjp(_pool_forward, _pool_backward)


def segment_statistics(x: jax.Array, segments: int) -> jax.Array:
    """Maximum and mean over each of ``segments`` equal stretches of time: ``[B, T, C] -> [B, 2 * segments * C]``."""
    batch, length, channels = x.shape
    x = x[:, : length // segments * segments].reshape(batch, segments, length // segments, channels)
    return jnp.concatenate([x.max(axis=2), x.mean(axis=2)], axis=-1).reshape(batch, -1)
