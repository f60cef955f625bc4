"""``gan``: a class-conditional Wasserstein GAN with gradient penalty, for samples as vectors.

A critic f learns to tell real standardised vectors z (see `standardizer`) from generated ones z', and a generator G
learns to draw vectors with a high critic score. Both receive the class y::

    critic:     E f(z', y) - E f(z, y) + penalty E (|grad f(z^, y)| - 1)^2,    z^ = u z + (1 - u) z',  u ~ U(0, 1)
    generator:  -E f(z', y),    z' = G(e, y),  e ~ N(0, 1)

There are several steps of the critic to each step of the generator. The learning rate of the generator falls to zero
and that of the critic is constant: where both fall, training stops before it converges, and class means were off by .5
standard deviations.

Between two averages, clients with different data train the generator towards different optima, and the averaged
generator draws the mean of these. Clients therefore average after every step by default:
`experiments/synthesis/averaging.json` shows how longer rounds change the diversity of heartbeats of 44 patients.

The networks see windows as vectors, without a notion of time: the generator suits tables, such as vital signs, and
short windows.

References:
    Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville: Improved training of Wasserstein GANs. NeurIPS, 2017.
    Arjovsky, Chintala, Bottou: Wasserstein generative adversarial networks. ICML, 2017.
    Yazici et al.: The unusual effectiveness of averaging in GAN training. ICLR, 2019 (the averaged generator).
"""

from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax
from pydantic import Field

from bofl_jax.synthesis.base import ClientSamples, Generator, SampleShape, Stage, SyntheticSamples
from bofl_jax.synthesis.generators.neural import (
    FittedNetwork,
    Minibatch,
    MinibatchSampler,
    NeuralOptions,
    Tree,
    adam,
    minibatch_sampler,
    moving_average,
    run_steps,
)
from bofl_jax.synthesis.generators.standardizer import (
    ScalingStatistics,
    decode,
    initial_statistics,
    scaling_stages,
    standardizer,
)
from bofl_jax.synthesis.registry import GENERATORS, GeneratorEntry

B1, B2 = 0.5, 0.9
"""Decay rates of Adam; the algorithm of the paper has 0 and 0.9."""


class GanOptions(NeuralOptions):
    """``gan``: a conditional WGAN-GP over samples as vectors, for tables and short windows."""

    generator: Literal["gan"] = "gan"
    hidden: tuple[int, ...] = Field((128, 128), min_length=1, description="units of each hidden layer")
    noise: int = Field(32, ge=1, description="size of the noise vector that a sample is generated from")
    critic_steps: int = Field(5, ge=1, description="steps of the critic to each step of the generator")
    penalty: float = Field(10.0, ge=0, description="weight of the gradient penalty")
    rounds: int = Field(5000, ge=1, description="how often clients train and average")
    steps: int = Field(1, ge=1, description="generator steps of a round; with more, clients with other data diverge")
    batch: int = Field(128, ge=1, description="B")
    lr: float = Field(5e-4, gt=0, description="initial learning rate of both networks")


class AdversarialNetwork(NamedTuple):
    """A network in training."""

    params: Tree
    opt_state: Tree


class GanState(NamedTuple):
    """State of the training."""

    statistics: ScalingStatistics
    generator: AdversarialNetwork
    critic: AdversarialNetwork
    ema_params: Tree  # moving average of the generator's parameters
    step: jax.Array  # float32[], steps of the generator so far


class Perceptron(nn.Module):
    """A network of a vector and its class: ``float32[B, M], int32[B] -> float32[B, outputs]``."""

    hidden: tuple[int, ...]
    classes: int
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Apply the network.

        Args:
            x: float32[B, M].
            y: int32[B], classes.
        """
        label = jax.nn.one_hot(y, self.classes)
        for units in self.hidden:
            x = nn.leaky_relu(nn.Dense(units)(jnp.concatenate([x, label], axis=1)), 0.2)
        return nn.Dense(self.outputs)(jnp.concatenate([x, label], axis=1))


def gan(shape: SampleShape, options: GanOptions) -> Generator:
    """Build the generator.

    Args:
        shape: sizes of the samples.
        options: of networks and training.
    """
    trainer = gan_trainer(shape, options)

    def train(state: GanState, samples: ClientSamples, key: jax.Array) -> tuple[GanState, jax.Array]:
        draw = minibatch_sampler(state.statistics, samples, shape, options)
        return run_steps(lambda state, key: trainer.step(state, draw, key), state, samples, key, options.steps)

    def finalize(state: GanState) -> FittedNetwork:
        return FittedNetwork(standardizer(state.statistics, shape), state.ema_params)

    def sample(fitted: FittedNetwork, key: jax.Array, label: jax.Array, n: int) -> SyntheticSamples:
        return decode(fitted.lens, trainer.generate(fitted.params, key, jnp.full(n, label)), shape)

    stages = (*scaling_stages(shape, options.scaling), Stage("play", options.rounds, train))
    return Generator("gan", 2, trainer.init, stages, finalize, sample)


class GanTrainer(NamedTuple):
    """The two networks and the steps that train them."""

    shape: SampleShape
    options: GanOptions
    generator: Perceptron
    critic: Perceptron
    generator_optimizer: optax.GradientTransformation
    critic_optimizer: optax.GradientTransformation

    def init(self, key: jax.Array) -> GanState:
        """The state before the first step."""
        generator_key, critic_key = jax.random.split(key)
        label = jnp.zeros(1, jnp.int32)
        generator = jax.jit(self.generator.init)(generator_key, jnp.zeros((1, self.options.noise)), label)
        critic = jax.jit(self.critic.init)(critic_key, jnp.zeros((1, self.shape.size)), label)
        networks = (
            AdversarialNetwork(generator, self.generator_optimizer.init(generator)),
            AdversarialNetwork(critic, self.critic_optimizer.init(critic)),
        )
        statistics = initial_statistics(self.shape, self.options.scaling)
        return GanState(statistics, *networks, generator, jnp.zeros(()))

    def generate(self, params: Tree, key: jax.Array, y: jax.Array) -> jax.Array:
        """Draw standardised vectors z'.

        Args:
            params: of the generator.
            key: random key of the noise.
            y: int32[n], classes.
        """
        noise = jax.random.normal(key, (len(y), self.options.noise))
        return cast(jax.Array, self.generator.apply(params, noise, y))

    def critic_score(self, params: Tree, z: jax.Array, y: jax.Array) -> jax.Array:
        """f, float32[B, 1].

        Args:
            params: of the critic.
            z: float32[B, D], vectors.
            y: int32[B], classes.
        """
        return cast(jax.Array, self.critic.apply(params, z, y))

    def critic_loss(self, params: Tree, real: Minibatch, fake: jax.Array, key: jax.Array) -> jax.Array:
        """The loss of the critic.

        Args:
            params: of the critic.
            real: real samples.
            fake: float32[B, D], generated vectors of the same classes.
            key: random key of the interpolation.
        """
        share = jax.random.uniform(key, (len(real.y), 1))
        mixed = share * real.z + (1 - share) * fake
        slope = jax.grad(lambda z: self.critic_score(params, z, real.y).sum())(mixed)
        norm = jnp.sqrt(jnp.sum(slope**2, axis=1) + 1e-12)
        gap = self.critic_score(params, fake, real.y).mean() - self.critic_score(params, real.z, real.y).mean()
        return gap + self.options.penalty * jnp.mean((norm - 1) ** 2)

    def generator_loss(self, params: Tree, critic: Tree, key: jax.Array, y: jax.Array) -> jax.Array:
        """The loss of the generator.

        Args:
            params: of the generator.
            critic: parameters of the critic.
            key: random key of the noise.
            y: int32[B], classes.
        """
        return -self.critic_score(critic, self.generate(params, key, y), y).mean()

    def critic_step(
        self, generator: Tree, critic: AdversarialNetwork, draw: MinibatchSampler, key: jax.Array
    ) -> tuple[AdversarialNetwork, jax.Array]:
        """Train the critic on one minibatch; the generator stays constant.

        Args:
            generator: parameters of the generator.
            critic: the critic.
            draw: draws a minibatch of real samples.
            key: random key.

        Returns:
            The critic after the step, and its loss.
        """
        row_key, noise_key, mix_key = jax.random.split(key, 3)
        real = draw(row_key)
        fake = self.generate(generator, noise_key, real.y)
        loss, gradient = jax.value_and_grad(self.critic_loss)(critic.params, real, fake, mix_key)
        return apply_gradient(self.critic_optimizer, critic, gradient), loss

    def step(self, state: GanState, draw: MinibatchSampler, key: jax.Array) -> tuple[GanState, jax.Array]:
        """Take the steps of the critic, then one of the generator.

        Args:
            state: state before the step.
            draw: draws a minibatch of real samples.
            key: random key.

        Returns:
            The state after the step, and the mean loss of the critic.
        """
        critic_key, row_key, noise_key = jax.random.split(key, 3)
        keys = jax.random.split(critic_key, self.options.critic_steps)
        generator = state.generator
        critic, losses = lax.scan(
            lambda critic, key: self.critic_step(generator.params, critic, draw, key), state.critic, keys
        )
        gradient = jax.grad(self.generator_loss)(generator.params, critic.params, noise_key, draw(row_key).y)
        generator = apply_gradient(self.generator_optimizer, generator, gradient)
        ema_params = moving_average(state.ema_params, generator.params, self.options.average, state.step)
        return GanState(state.statistics, generator, critic, ema_params, state.step + 1), losses.mean()


def gan_trainer(shape: SampleShape, options: GanOptions) -> GanTrainer:
    """Build networks and optimisers.

    Args:
        shape: sizes of the samples.
        options: of networks and training.
    """
    return GanTrainer(
        shape,
        options,
        Perceptron(options.hidden, shape.num_classes, shape.size),
        Perceptron(options.hidden, shape.num_classes, 1),
        adam(options.lr, options.rounds * options.steps, b1=B1, b2=B2),
        adam(options.lr, b1=B1, b2=B2),
    )


def apply_gradient(
    optimizer: optax.GradientTransformation, network: AdversarialNetwork, gradient: Tree
) -> AdversarialNetwork:
    """Take one step of an optimiser.

    Args:
        optimizer: the optimiser.
        network: parameters and state of the optimiser.
        gradient: gradient of the loss with respect to the parameters.
    """
    updates, opt_state = optimizer.update(gradient, network.opt_state, network.params)
    return AdversarialNetwork(optax.apply_updates(network.params, updates), opt_state)


GENERATORS.register(GeneratorEntry(GanOptions, gan))
