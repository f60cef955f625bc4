"""The five networks of TimeGAN and the losses that they play for; `timegan` trains them.

Sequences are float32[T, D, B] in [0, 1], classes int32[B], noise float32[T, D, B].
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from bofl_jax.synthesis.base import Shape
from bofl_jax.synthesis.generators.moments import Tallies, moment_gap, tally
from bofl_jax.synthesis.generators.recurrent import GruStack, at_every_step

Tree = Any
Params = dict[str, Tree]  # by network

TINY = 1e-12
"""Within roots, whose slope at 0 is not finite."""


class Weights(NamedTuple):
    """Of the parts of the generator's loss; see `TimeganSettings`."""

    gamma: float
    moments: float
    shared: float


class Recurrent(nn.Module):
    """GRUs and a linear output at every step: ``x[T, D, B], y int32[B] -> [T, outputs, B]``."""

    units: int
    layers: int
    outputs: int
    classes: int
    squashed: bool = True  # to (0, 1)

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        h = GruStack(self.units, self.layers)(tell(x, y, self.classes))
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), (self.units, self.outputs))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.outputs,))
        out = at_every_step(kernel, h) + bias[:, None]
        return nn.sigmoid(out) if self.squashed else out


def tell(x: jax.Array, y: jax.Array, classes: int) -> jax.Array:
    """``x[T, D, B]`` with the classes as K more channels, if there are several."""
    if classes == 1:
        return x
    labels = jax.nn.one_hot(y, classes, axis=0)
    return jnp.concatenate([x, jnp.broadcast_to(labels, (len(x), *labels.shape))], axis=1)


class Sequences(NamedTuple):
    """How samples are sequences of frames."""

    shape: Shape
    frame: int

    @property
    def steps(self) -> int:
        """Frames of a sequence; the last one may be part empty."""
        return -(-self.shape.window // self.frame)

    @property
    def channels(self) -> int:
        """Of a frame."""
        return self.frame * self.shape.leads + self.shape.features

    def fold(self, z: jax.Array) -> jax.Array:
        """Vectors ``[B, T*L + F]`` as sequences ``[steps, channels, B]``."""
        cut = self.shape.window * self.shape.leads
        frames = jnp.pad(z[:, :cut], ((0, 0), (0, self.steps * self.frame * self.shape.leads - cut)), mode="edge")
        x = frames.reshape(len(z), self.steps, -1)
        features = jnp.broadcast_to(z[:, None, cut:], (len(z), self.steps, self.shape.features))
        return jnp.moveaxis(jnp.concatenate([x, features], axis=2), 0, -1)

    def unfold(self, x: jax.Array) -> jax.Array:
        """The vectors that sequences stand for."""
        cut, leads = self.shape.window * self.shape.leads, self.frame * self.shape.leads
        x = jnp.moveaxis(x, -1, 0)
        return jnp.concatenate([x[:, :, :leads].reshape(len(x), -1)[:, :cut], x[:, :, leads:].mean(axis=1)], axis=1)


class Networks(NamedTuple):
    """The five: sequences ``x``, latent ones ``h``, classes ``y``, noise ``z``."""

    modules: dict[str, Recurrent]
    hidden: int
    classes: int
    weights: Weights

    def apply(self, name: str, params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        """A network's output."""
        return cast(jax.Array, self.modules[name].apply(params[name], x, y))

    def start(self, key: jax.Array, steps: int, channels: int) -> Params:
        """Parameters."""
        inputs = dict.fromkeys(self.modules, self.hidden) | {"embedder": channels, "generator": channels}
        keys = jax.random.split(key, len(self.modules))
        return {
            name: module.init(each, jnp.zeros((steps, inputs[name], 1)), jnp.zeros(1, jnp.int32))
            for each, (name, module) in zip(keys, self.modules.items(), strict=True)
        }

    def autoencoding(self, params: Params, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """``10 sqrt(MSE(X, X~))`` and H."""
        h = self.apply("embedder", params, x, y)
        return 10 * root(jnp.mean((x - self.apply("recovery", params, h, y)) ** 2)), h

    def supervision(self, params: Params, h: jax.Array, y: jax.Array) -> jax.Array:
        """S."""
        return foretold(h, self.apply("supervisor", params, h, y))

    def autoencoding_jointly(self, params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        """The embedder's loss in the last phase."""
        loss, h = self.autoencoding(params, x, y)
        return loss + 0.1 * self.supervision(params, h, y)

    def generation(
        self, params: Params, x: jax.Array, y: jax.Array, z: jax.Array, of_all: Tallies
    ) -> tuple[jax.Array, Tallies]:
        """The generator's loss in the last phase, and the tallies of its minibatch."""
        h, made = self.apply("embedder", params, x, y), self.apply("generator", params, z, y)
        passed, ahead = self.side_by_side("supervisor", params, y, made, h)
        taken = self.side_by_side("discriminator", params, y, passed, made)
        tallies = Tallies(*(tally(rows, y, self.classes) for rows in (x, self.apply("recovery", params, passed, y))))
        likeness = moment_gap(tallies, of_all, self.weights.shared)
        adversarial = nn.softplus(-taken[0]).mean() + self.weights.gamma * nn.softplus(-taken[1]).mean()
        loss = adversarial + 100 * root(foretold(h, ahead)) + self.weights.moments * likeness
        return loss, tallies

    def discrimination(self, params: Params, x: jax.Array, y: jax.Array, z: jax.Array) -> jax.Array:
        """The discriminator's loss."""
        h, made = self.apply("embedder", params, x, y), self.apply("generator", params, z, y)
        passed = self.apply("supervisor", params, made, y)
        real, *drawn = self.side_by_side("discriminator", params, y, h, passed, made)
        fakes = nn.softplus(drawn[0]).mean() + self.weights.gamma * nn.softplus(drawn[1]).mean()
        return nn.softplus(-real).mean() + fakes

    def side_by_side(self, name: str, params: Params, y: jax.Array, *parts: jax.Array) -> list[jax.Array]:
        """A network's outputs for several batches of the same classes, in one pass."""
        out = self.apply(name, params, jnp.concatenate(parts, axis=2), jnp.tile(y, len(parts)))
        return jnp.split(out, len(parts), axis=2)

    def draw(self, params: Params, z: jax.Array, y: jax.Array) -> jax.Array:
        """X^."""
        made = self.apply("generator", params, z, y)
        return self.apply("recovery", params, self.apply("supervisor", params, made, y), y)


def networks(channels: int, classes: int, hidden: int, layers: int, weights: Weights) -> Networks:
    """The five networks for sequences of so many channels."""
    modules = {
        "embedder": Recurrent(hidden, layers, hidden, classes),
        "recovery": Recurrent(hidden, layers, channels, classes),
        "generator": Recurrent(hidden, layers, hidden, classes),
        "supervisor": Recurrent(hidden, max(layers - 1, 1), hidden, classes),
        "discriminator": Recurrent(hidden, layers, 1, classes, squashed=False),
    }
    return Networks(modules, hidden, classes, weights)


def foretold(h: jax.Array, ahead: jax.Array) -> jax.Array:
    """How far the next step of ``h[T, H, B]`` is from what was foretold: a mean square."""
    return jnp.mean((h[1:] - ahead[:-1]) ** 2)


def root(square: jax.Array) -> jax.Array:
    """The square root."""
    return jnp.sqrt(square + TINY)
