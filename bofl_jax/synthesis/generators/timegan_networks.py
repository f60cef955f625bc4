"""The five networks of TimeGAN and their losses; `timegan` trains them.

Sequences are float32[T, D, B] in [0, 1], latent sequences float32[T, H, B], classes int32[B], noise float32[T, D, B].
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from bofl_jax.synthesis.generators.class_moments import PairedSums, class_sums, moment_loss
from bofl_jax.synthesis.generators.recurrent import GruStack, time_distributed

Tree = Any
Params = dict[str, Tree]
"""Parameters by the name of their network."""

ROOT_FLOOR = 1e-12
"""Added under square roots, whose slope at 0 is infinite."""


class LossWeights(NamedTuple):
    """Weights in the loss of the generator; see `timegan.TimeganOptions`."""

    gamma: float
    moments: float
    shared: float


class Recurrent(nn.Module):
    """GRU layers and a linear output at every step: ``x[T, D, B], y int32[B] -> [T, outputs, B]``."""

    units: int
    layers: int
    outputs: int
    classes: int
    squashed: bool = True  # whether outputs are in (0, 1)

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Apply the network.

        Args:
            x: float32[T, D, B], sequences.
            y: int32[B], classes.
        """
        h = GruStack(self.units, self.layers)(append_label(x, y, self.classes))
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), (self.units, self.outputs))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.outputs,))
        out = time_distributed(kernel, h) + bias[:, None]
        return nn.sigmoid(out) if self.squashed else out


def append_label(x: jax.Array, y: jax.Array, classes: int) -> jax.Array:
    """Append one-hot classes to sequences as channels, unless there is only one class.

    Args:
        x: float32[T, D, B], sequences.
        y: int32[B], classes.
        classes: K.

    Returns:
        float32[T, D + K, B], or x where K is 1.
    """
    if classes == 1:
        return x
    labels = jax.nn.one_hot(y, classes, axis=0)
    return jnp.concatenate([x, jnp.broadcast_to(labels, (len(x), *labels.shape))], axis=1)


class Networks(NamedTuple):
    """The five networks; in their methods x are sequences, h latent sequences, y classes and z noise."""

    modules: dict[str, Recurrent]
    hidden: int
    classes: int
    weights: LossWeights

    def apply(self, name: str, params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        """The output of one network.

        Args:
            name: name of the network.
            params: parameters of all networks.
            x: its input sequences.
            y: classes.
        """
        return cast(jax.Array, self.modules[name].apply(params[name], x, y))

    def init(self, key: jax.Array, steps: int, channels: int) -> Params:
        """Initialise all networks.

        Args:
            key: random key.
            steps: T.
            channels: D.
        """
        inputs = dict.fromkeys(self.modules, self.hidden) | {"embedder": channels, "generator": channels}
        keys = jax.random.split(key, len(self.modules))
        return {
            name: module.init(each, jnp.zeros((steps, inputs[name], 1)), jnp.zeros(1, jnp.int32))
            for each, (name, module) in zip(keys, self.modules.items(), strict=True)
        }

    def reconstruction_loss(self, params: Params, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """``10 sqrt(MSE(x, recovery(h)))``, and h.

        Args:
            params: parameters of all networks.
            x: real sequences.
            y: classes.
        """
        h = self.apply("embedder", params, x, y)
        return 10 * stable_sqrt(jnp.mean((x - self.apply("recovery", params, h, y)) ** 2)), h

    def supervisor_loss(self, params: Params, h: jax.Array, y: jax.Array) -> jax.Array:
        """The mean squared error of the supervisor's prediction of the next step.

        Args:
            params: parameters of all networks.
            h: latent sequences.
            y: classes.
        """
        return supervised_loss(h, self.apply("supervisor", params, h, y))

    def embedder_loss(self, params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of embedder and recovery in the joint phase.

        Args:
            params: parameters of all networks.
            x: real sequences.
            y: classes.
        """
        loss, h = self.reconstruction_loss(params, x, y)
        return loss + 0.1 * self.supervisor_loss(params, h, y)

    def generator_loss(
        self, params: Params, x: jax.Array, y: jax.Array, z: jax.Array, of_all: PairedSums
    ) -> tuple[jax.Array, PairedSums]:
        """The loss of generator and supervisor in the joint phase.

        Args:
            params: parameters of all networks.
            x: real sequences.
            y: classes.
            z: noise.
            of_all: class sums of the step before, averaged over clients.

        Returns:
            The loss, and the class sums of this minibatch.
        """
        h, latent = self.apply("embedder", params, x, y), self.apply("generator", params, z, y)
        supervised, ahead = self.apply_batched("supervisor", params, y, latent, h)
        logits = self.apply_batched("discriminator", params, y, supervised, latent)
        synthetic = self.apply("recovery", params, supervised, y)
        sums = PairedSums(*(class_sums(sequences, y, self.classes) for sequences in (x, synthetic)))
        distance = moment_loss(sums, of_all, self.weights.shared)
        adversarial = nn.softplus(-logits[0]).mean() + self.weights.gamma * nn.softplus(-logits[1]).mean()
        loss = adversarial + 100 * stable_sqrt(supervised_loss(h, ahead)) + self.weights.moments * distance
        return loss, sums

    def discriminator_loss(self, params: Params, x: jax.Array, y: jax.Array, z: jax.Array) -> jax.Array:
        """The loss of the discriminator.

        Args:
            params: parameters of all networks.
            x: real sequences.
            y: classes.
            z: noise.
        """
        h, latent = self.apply("embedder", params, x, y), self.apply("generator", params, z, y)
        supervised = self.apply("supervisor", params, latent, y)
        real, *fake = self.apply_batched("discriminator", params, y, h, supervised, latent)
        fake_loss = nn.softplus(fake[0]).mean() + self.weights.gamma * nn.softplus(fake[1]).mean()
        return nn.softplus(-real).mean() + fake_loss

    def apply_batched(self, name: str, params: Params, y: jax.Array, *parts: jax.Array) -> list[jax.Array]:
        """The outputs of one network for several batches of the same classes, in one pass.

        Args:
            name: name of the network.
            params: parameters of all networks.
            y: classes.
            parts: the batches.
        """
        out = self.apply(name, params, jnp.concatenate(parts, axis=2), jnp.tile(y, len(parts)))
        return jnp.split(out, len(parts), axis=2)

    def generate(self, params: Params, z: jax.Array, y: jax.Array) -> jax.Array:
        """Draw synthetic sequences.

        Args:
            params: parameters of generator, supervisor and recovery.
            z: noise.
            y: classes.
        """
        latent = self.apply("generator", params, z, y)
        return self.apply("recovery", params, self.apply("supervisor", params, latent, y), y)


def networks(channels: int, classes: int, hidden: int, layers: int, weights: LossWeights) -> Networks:
    """Build the five networks.

    Args:
        channels: D, channels of a sequence.
        classes: K.
        hidden: H, units of every layer.
        layers: GRU layers of every network; the supervisor has one less.
        weights: weights in the loss of the generator.
    """
    modules = {
        "embedder": Recurrent(hidden, layers, hidden, classes),
        "recovery": Recurrent(hidden, layers, channels, classes),
        "generator": Recurrent(hidden, layers, hidden, classes),
        "supervisor": Recurrent(hidden, max(layers - 1, 1), hidden, classes),
        "discriminator": Recurrent(hidden, layers, 1, classes, squashed=False),
    }
    return Networks(modules, hidden, classes, weights)


def supervised_loss(h: jax.Array, ahead: jax.Array) -> jax.Array:
    """Mean squared error between the next steps of ``h[T, H, B]`` and their prediction ``ahead[T, H, B]``."""
    return jnp.mean((h[1:] - ahead[:-1]) ** 2)


def stable_sqrt(square: jax.Array) -> jax.Array:
    """The square root, with a finite slope at 0."""
    return jnp.sqrt(square + ROOT_FLOOR)
