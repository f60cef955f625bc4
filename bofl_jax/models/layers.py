"""Layers for one batch of one client, in forms that remain matrix products under ``vmap`` over clients.

Under ``vmap`` over the clients' weights, a convolution becomes a grouped convolution, which is ten times slower on CPU
than the same sum as a product of patches and a matrix. Therefore every 1-D convolution here is such a product.

Inside a convolutional network the batch is the last axis, ``[C, T, B]`` (here C are the channels). A shift in time is
then one contiguous slice, and all forward and backward products have the one form that XLA's CPU library computes fast
(benchmarks/NOTES.md).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax


def _dot(left: jax.Array, right: jax.Array, over: tuple[int, int]) -> jax.Array:
    return lax.dot_general(left, right, (((over[0],), (over[1],)), ((), ())))


@jax.custom_vjp
def transposed_matmul(weight: jax.Array, x: jax.Array) -> jax.Array:
    """Multiply the transposed weight with x; only reverse-mode differentiation is defined.

    The small weight is transposed by a copy, which the barrier enforces, so that no product needs a transposition in
    the forward or the backward pass.

    Args:
        weight: float32[K, M].
        x: float32[K, N].

    Returns:
        float32[M, N].
    """
    transposed: jax.Array = lax.optimization_barrier(weight.T)  # type: ignore[no-untyped-call]
    return _dot(transposed, x, (1, 0))


def _product_forward(weight: jax.Array, x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return transposed_matmul(weight, x), (weight, x)


def _product_backward(saved: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    weight, x = saved
    return _dot(x, gradient, (1, 1)), _dot(weight, gradient, (1, 0))


transposed_matmul.defvjp(_product_forward, _product_backward)


def patches(x: jax.Array, kernel: int, stride: int) -> jax.Array:
    """Cut the patches of a 1-D convolution with "SAME" padding.

    Args:
        x: ``[L, T, B]``.
        kernel: taps of a patch.
        stride: samples from one patch to the next.

    Returns:
        ``[kernel * L, ceil(T / stride), B]``, tap by tap. Patch t starts at sample ``t * stride - left``, where
        ``left`` is the padding at the start; samples outside the window are 0.
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
    """1-D convolution with "SAME" padding, as a product of patches and a matrix."""

    channels: int
    kernel: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``[L, T, B]`` to ``[channels, ceil(T / stride), B]``."""
        shape = (self.kernel * x.shape[0], self.channels)
        weight = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.channels,))
        columns = patches(x, self.kernel, self.stride)
        flat = transposed_matmul(weight, columns.reshape(len(columns), -1))
        return flat.reshape(self.channels, *columns.shape[1:]) + bias[:, None, None]


class Dense(nn.Module):
    """Dense layer with the batch as the last axis. Its parameters are those of ``flax.linen.Dense``."""

    units: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``[F, B]`` to ``[units, B]``."""
        weight = self.param("kernel", nn.initializers.lecun_normal(), (len(x), self.units))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.units,))
        return transposed_matmul(weight, x) + bias[:, None]


class GroupNorm(nn.Module):
    """Group normalisation: each sample is normalised over time and each group of channels.

    Wu, He: Group normalization. ECCV 2018.
    """

    groups: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``[C, T, B]`` to ``[C, T, B]``."""
        grouped = x.reshape(self.groups, -1, *x.shape[1:])
        normalised: jax.Array = nn.LayerNorm(reduction_axes=(1, 2), feature_axes=(0, 1))(grouped)
        return normalised.reshape(x.shape)


@jax.custom_vjp
def relu_max_pool(x: jax.Array) -> jax.Array:
    """ReLU of the maximum over pairs of neighbours in time: ``[C, T, B]`` to ``[C, T // 2, B]``.

    The gradient goes to the larger of the two samples (the first on a tie) if it is positive. The gradient is written
    out because JAX's own gradient of ``maximum`` costs more than the convolution before it. Only reverse-mode
    differentiation is defined.
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
    """Maximum and mean over each of some equal stretches of time.

    Args:
        x: ``[C, T, B]``.
        segments: number of stretches; a remainder at the end is left out.

    Returns:
        ``[2 * segments * C, B]``.
    """
    channels, length, batch = x.shape
    x = x[:, : length // segments * segments].reshape(channels, segments, length // segments, batch)
    return jnp.concatenate([x.max(axis=2), x.mean(axis=2)], axis=1).reshape(-1, batch)
