"""``gan``: a class-conditional Wasserstein GAN with gradient penalty, of samples as vectors.

A critic f learns to tell real scaled vectors z (see `neural`) from drawn ones z', a generator to draw what it rates
high; both know the class y::

    critic:     E f(z', y) - E f(z, y) + penalty E (|grad f(z^, y)| - 1)^2,    z^ = u z + (1 - u) z',  u ~ U(0, 1)
    generator:  -E f(z', y),    z' = G(e, y),  e ~ N(0, 1)

with several steps of the critic to one of the generator. The generator's rate falls to zero and the critic's does not:
where both fall, they come to rest wherever they are, and class means were off by .5 deviations.

Clients whose samples differ pull the generator apart between two averages, and what is averaged then draws their mean.
So clients average after every step by default: `experiments/synthesis/averaging.json` has what other rounds do to the
diversity of heartbeats of 44 patients.

Windows are seen as vectors, without a notion of time: this is for tables, such as vital signs, and for short windows.

References:
    Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville: Improved training of Wasserstein GANs. NeurIPS, 2017.
    Arjovsky, Chintala, Bottou: Wasserstein generative adversarial networks. ICML, 2017.
    Yazici et al.: The unusual effectiveness of averaging in GAN training. ICLR, 2019 (the averaged generator).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax

from bofl_jax.core.errors import BoflError
from bofl_jax.synthesis.base import Drawn, Examples, Generator, Shape, Stage
from bofl_jax.synthesis.generators.neural import (
    Lens,
    Minibatch,
    Scale,
    Scaling,
    adam,
    decode,
    lens,
    minibatches,
    moving_average,
    run_steps,
    scale_stages,
    start_scale,
    width,
)

Tree = Any
Fresh = Callable[[jax.Array], Minibatch]
"""key -> a minibatch of real samples."""

B1, B2 = 0.5, 0.9
"""Of Adam; the paper's algorithm has 0 and 0.9."""


class GanSettings(NamedTuple):
    """How the networks are built and trained.

    Attributes:
        hidden: units of each hidden layer, of both networks.
        noise: entries of e.
        critic_steps: of the critic, to one of the generator.
        penalty: weight of the gradient penalty.
        scaling: of the samples; see `neural.scale_stages`.
        rounds: how often clients train and average.
        steps: of the generator, in a round; how many matters where clients that differ train together.
        batch: B.
        lr: Adam's rate, of both; the generator's falls.
        average: decay of the moving average of the generator's parameters, a step.
        balance: how much more often samples of rare classes are shown; see `neural.ladder`.
    """

    hidden: tuple[int, ...] = (128, 128)
    noise: int = 32
    critic_steps: int = 5
    penalty: float = 10.0
    scaling: Scaling = "channels"
    rounds: int = 5000
    steps: int = 1
    batch: int = 128
    lr: float = 5e-4
    average: float = 0.999
    balance: float = 0.5


class Player(NamedTuple):
    """A network in training."""

    params: Tree
    memory: Tree  # of Adam


class GanState(NamedTuple):
    """What is trained."""

    scale: Scale
    generator: Player
    critic: Player
    average: Tree  # of the generator's parameters over the steps
    done: jax.Array  # float32[], steps of the generator so far


class Artist(NamedTuple):
    """What drawing needs."""

    lens: Lens
    params: Tree


class Perceptron(nn.Module):
    """A network of a vector and its class: ``float32[B, M], int32[B] -> float32[B, outputs]``."""

    hidden: tuple[int, ...]
    classes: int
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        told = jax.nn.one_hot(y, self.classes)
        for units in self.hidden:
            x = nn.leaky_relu(nn.Dense(units)(jnp.concatenate([x, told], axis=1)), 0.2)
        return nn.Dense(self.outputs)(jnp.concatenate([x, told], axis=1))


def gan(shape: Shape, settings: GanSettings) -> Generator:
    """Build the generator.

    Args:
        shape: of a sample.
        settings: of networks and training.

    Raises:
        BoflError: if there is nothing to draw from or to train.
    """
    if min(settings.noise, settings.critic_steps, settings.steps) < 1:
        raise BoflError("a GAN needs noise, steps of its critic and steps in a round: choose 1 or more of each")
    training = training_of(shape, settings)

    def work(state: GanState, examples: Examples, key: jax.Array) -> tuple[GanState, jax.Array]:
        draw = minibatches(state.scale, examples, shape, settings.balance, settings.batch)
        return run_steps(lambda state, key: training.step(state, draw, key), state, examples, key, settings.steps)

    def finish(state: GanState) -> Artist:
        return Artist(lens(state.scale, shape), state.average)

    def sample(fitted: Artist, key: jax.Array, label: jax.Array, n: int) -> Drawn:
        return decode(fitted.lens, training.draw(fitted.params, key, jnp.full(n, label)), shape)

    stages = (*scale_stages(shape, settings.scaling), Stage("play", settings.rounds, work))
    return Generator(
        name="gan",
        trainings=("federated", "local", "pooled"),
        least=2,
        from_normal=False,
        start=training.start,
        stages=stages,
        finish=finish,
        sample=sample,
    )


class Training(NamedTuple):
    """The two networks, and the steps that train them."""

    shape: Shape
    settings: GanSettings
    generator: Perceptron
    critic: Perceptron
    generator_rule: optax.GradientTransformation
    critic_rule: optax.GradientTransformation

    def start(self, key: jax.Array) -> GanState:
        """The state before the first step."""
        first, second = jax.random.split(key)
        none = jnp.zeros(1, jnp.int32)
        params = jax.jit(self.generator.init)(first, jnp.zeros((1, self.settings.noise)), none)
        rater = jax.jit(self.critic.init)(second, jnp.zeros((1, width(self.shape))), none)
        players = Player(params, self.generator_rule.init(params)), Player(rater, self.critic_rule.init(rater))
        return GanState(start_scale(self.shape, self.settings.scaling), *players, params, jnp.zeros(()))

    def draw(self, params: Tree, key: jax.Array, y: jax.Array) -> jax.Array:
        """z'."""
        noise = jax.random.normal(key, (len(y), self.settings.noise))
        return cast(jax.Array, self.generator.apply(params, noise, y))

    def rating(self, params: Tree, z: jax.Array, y: jax.Array) -> jax.Array:
        """f."""
        return cast(jax.Array, self.critic.apply(params, z, y))

    def critic_loss(self, params: Tree, real: Minibatch, fake: jax.Array, key: jax.Array) -> jax.Array:
        """What the critic lowers."""
        share = jax.random.uniform(key, (len(real.y), 1))
        mixed = share * real.z + (1 - share) * fake
        steep = jax.grad(lambda z: self.rating(params, z, real.y).sum())(mixed)
        length = jnp.sqrt(jnp.sum(steep**2, axis=1) + 1e-12)
        gap = self.rating(params, fake, real.y).mean() - self.rating(params, real.z, real.y).mean()
        return gap + self.settings.penalty * jnp.mean((length - 1) ** 2)

    def generator_loss(self, params: Tree, rater: Tree, key: jax.Array, y: jax.Array) -> jax.Array:
        """What the generator lowers."""
        return -self.rating(rater, self.draw(params, key, y), y).mean()

    def rate(self, params: Tree, player: Player, fresh: Fresh, key: jax.Array) -> tuple[Player, jax.Array]:
        """A step of the critic, against a generator that rests."""
        rows, noise, mix = jax.random.split(key, 3)
        real = fresh(rows)
        fake = self.draw(params, noise, real.y)
        loss, gradient = jax.value_and_grad(self.critic_loss)(player.params, real, fake, mix)
        return moved(self.critic_rule, player, gradient), loss

    def step(self, state: GanState, fresh: Fresh, key: jax.Array) -> tuple[GanState, jax.Array]:
        """The critic's steps, then one of the generator; the loss is the critic's."""
        raters, rows, noise = jax.random.split(key, 3)
        keys = jax.random.split(raters, self.settings.critic_steps)
        own = state.generator
        rater, losses = lax.scan(lambda player, key: self.rate(own.params, player, fresh, key), state.critic, keys)
        gradient = jax.grad(self.generator_loss)(own.params, rater.params, noise, fresh(rows).y)
        own = moved(self.generator_rule, own, gradient)
        average = moving_average(state.average, own.params, self.settings.average, state.done)
        return GanState(state.scale, own, rater, average, state.done + 1), losses.mean()


def training_of(shape: Shape, settings: GanSettings) -> Training:
    """Networks and optimisers for samples of a shape."""
    return Training(
        shape,
        settings,
        Perceptron(settings.hidden, shape.classes, width(shape)),
        Perceptron(settings.hidden, shape.classes, 1),
        adam(settings.lr, settings.rounds * settings.steps, b1=B1, b2=B2),
        adam(settings.lr, b1=B1, b2=B2),
    )


def moved(rule: optax.GradientTransformation, player: Player, gradient: Tree) -> Player:
    """The network after one step of its optimiser."""
    change, memory = rule.update(gradient, player.memory, player.params)
    return Player(optax.apply_updates(player.params, change), memory)
