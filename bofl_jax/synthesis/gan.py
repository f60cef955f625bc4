"""``gan``: a class-conditional Wasserstein GAN with gradient penalty, of samples as vectors.

A critic f learns to tell real scaled vectors z (see `neural`) from drawn ones z', a generator to draw what it rates
high; both know the class y::

    critic:     E f(z', y) - E f(z, y) + penalty E (|grad f(z^, y)| - 1)^2,    z^ = u z + (1 - u) z',  u ~ U(0, 1)
    generator:  -E f(z', y),    z' = G(e, y),  e ~ N(0, 1)

with several steps of the critic to one of the generator. The generator's rate falls to zero and the critic's does not:
where both fall, they come to rest wherever they are, and class means were off by .5 deviations. Windows are seen as
vectors, without a notion of time: this is for tables, such as vital signs, and for short windows.

References:
    Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville: Improved training of Wasserstein GANs. NeurIPS, 2017.
    Arjovsky, Chintala, Bottou: Wasserstein generative adversarial networks. ICML, 2017.
    Yazici et al.: The unusual effectiveness of averaging in GAN training. ICLR, 2019 (the averaged generator).
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import lax

from bofl_jax.core.errors import BoflError
from bofl_jax.synthesis.base import Drawn, Examples, Generator, Shape, Stage
from bofl_jax.synthesis.neural import (
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
        steps: of the generator, in a round.
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
    rounds: int = 25
    steps: int = 200
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
    network = Perceptron(settings.hidden, shape.classes, width(shape))
    critic = Perceptron(settings.hidden, shape.classes, 1)
    rule = adam(settings.lr, settings.rounds * settings.steps, b1=B1, b2=B2)
    critic_rule = adam(settings.lr, b1=B1, b2=B2)

    def start(key: jax.Array) -> GanState:
        first, second = jax.random.split(key)
        none = jnp.zeros(1, jnp.int32)
        params = jax.jit(network.init)(first, jnp.zeros((1, settings.noise)), none)
        rater = jax.jit(critic.init)(second, jnp.zeros((1, width(shape))), none)
        players = Player(params, rule.init(params)), Player(rater, critic_rule.init(rater))
        return GanState(start_scale(shape, settings.scaling), *players, params, jnp.zeros(()))

    def draw_fake(params: Tree, key: jax.Array, y: jax.Array) -> jax.Array:
        return cast(jax.Array, network.apply(params, jax.random.normal(key, (len(y), settings.noise)), y))

    def rating(params: Tree, z: jax.Array, y: jax.Array) -> jax.Array:
        return cast(jax.Array, critic.apply(params, z, y))

    def critic_loss(params: Tree, real: Minibatch, fake: jax.Array, key: jax.Array) -> jax.Array:
        share = jax.random.uniform(key, (len(real.y), 1))
        mixed = share * real.z + (1 - share) * fake
        steep = jax.grad(lambda z: rating(params, z, real.y).sum())(mixed)
        length = jnp.sqrt(jnp.sum(steep**2, axis=1) + 1e-12)
        gap = rating(params, fake, real.y).mean() - rating(params, real.z, real.y).mean()
        return gap + settings.penalty * jnp.mean((length - 1) ** 2)

    def generator_loss(params: Tree, rater: Tree, key: jax.Array, y: jax.Array) -> jax.Array:
        return -rating(rater, draw_fake(params, key, y), y).mean()

    def work(state: GanState, examples: Examples, key: jax.Array) -> tuple[GanState, jax.Array]:
        draw = minibatches(state.scale, examples, shape, settings.balance, settings.batch)

        def rate(params: Tree, player: Player, key: jax.Array) -> tuple[Player, jax.Array]:
            rows, noise, mix = jax.random.split(key, 3)
            real = draw(rows)
            fake = draw_fake(params, noise, real.y)
            loss, gradient = jax.value_and_grad(critic_loss)(player.params, real, fake, mix)
            return moved(critic_rule, player, gradient), loss

        def step(state: GanState, key: jax.Array) -> tuple[GanState, jax.Array]:
            raters, rows, noise = jax.random.split(key, 3)
            keys = jax.random.split(raters, settings.critic_steps)
            rater, losses = lax.scan(lambda player, key: rate(state.generator.params, player, key), state.critic, keys)
            own = state.generator
            gradient = jax.grad(generator_loss)(own.params, rater.params, noise, draw(rows).y)
            own = moved(rule, own, gradient)
            average = moving_average(state.average, own.params, settings.average, state.done)
            return GanState(state.scale, own, rater, average, state.done + 1), losses.mean()

        return run_steps(step, state, examples, key, settings.steps)

    def finish(state: GanState) -> Artist:
        return Artist(lens(state.scale, shape), state.average)

    def sample(fitted: Artist, key: jax.Array, label: jax.Array, n: int) -> Drawn:
        return decode(fitted.lens, draw_fake(fitted.params, key, jnp.full(n, label)), shape)

    stages = (*scale_stages(shape, settings.scaling), Stage("play", settings.rounds, work))
    return Generator(
        name="gan",
        trainings=("federated", "local", "pooled"),
        least=2,
        from_normal=False,
        start=start,
        stages=stages,
        finish=finish,
        sample=sample,
    )


def moved(rule: optax.GradientTransformation, player: Player, gradient: Tree) -> Player:
    """The network after one step of its optimiser."""
    change, memory = rule.update(gradient, player.memory, player.params)
    return Player(optax.apply_updates(player.params, change), memory)
