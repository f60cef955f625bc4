"""``timegan``: a class-conditional TimeGAN of windows and features.

Five recurrent networks (see `timegan_networks`): an embedder takes windows X to a latent sequence H and a recovery
back, a generator makes latent sequences E^ of noise Z ~ U(0, 1), a supervisor foretells the next step of latent
sequences, and a discriminator tells H from E^ and from ``H^ = supervisor(E^)``. All are told the class; with one class
they are the paper's.
Three phases, each of ``rounds`` times ``steps`` minibatches::

    embed      10 sqrt(MSE(X, X~)),  X~ = recovery(H)                               embedder, recovery
    supervise  S = MSE(H[t + 1], supervisor(H)[t])                                  supervisor
    joint      twice:  U(H^) + gamma U(E^) + 100 sqrt(S) + 100 V                    generator, supervisor
                       10 sqrt(MSE(X, X~)) + .1 S                                   embedder, recovery
               once:   BCE(H, real) + BCE(H^, drawn) + gamma BCE(E^, drawn)         discriminator

with ``U`` the cross-entropy to being taken for real, and V the mean absolute difference, over time and channels, of the
means and of the standard deviations of a batch of X and one of ``X^ = recovery(H^)``, within each class: over all
classes at once what lies between them passes for spread, and rare classes collapse. A client's few rows of a class do
not show its spread: with ``shared`` the moments that are compared are those of the rows of all clients in the step
before, whose sums are averaged with everything else, and each client's own rows tell how to change them. The
discriminator rests while its loss is at most ``gate``. The losses and their weights are those of the authors' code,
which differ from the paper's.

Networks see values in [0, 1]: either the samples are (scaling ``none``), or they lie within four standard deviations of
their channel's mean, which all clients measure together, and are clipped there. ``frame`` neighbouring time samples are
one step of the sequence; features are channels that do not change over time, averaged over it when drawn.

References:
    Yoon, Jarrett, van der Schaar: Time-series generative adversarial networks. NeurIPS, 2019.
    Yazici et al.: The unusual effectiveness of averaging in GAN training. ICLR, 2019 (the averaged generator).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from bofl_jax.core.errors import BoflError
from bofl_jax.synthesis.base import Drawn, Examples, Generator, Shape, Stage
from bofl_jax.synthesis.generators.moments import Tallies, Tally
from bofl_jax.synthesis.generators.neural import (
    Lens,
    Minibatch,
    Scale,
    Scaling,
    adam,
    averageable,
    decode,
    lens,
    minibatches,
    moving_average,
    run_steps,
    scale_stages,
    start_scale,
)
from bofl_jax.synthesis.generators.timegan_networks import Networks, Params, Sequences, Tree, Weights, networks

REACH = 4.0
"""Standard deviations from the mean that are 0 and 1."""

AUTOENCODER = ("embedder", "recovery")
GENERATION = ("generator", "supervisor")
PLAYERS = {
    "embed": AUTOENCODER,
    "supervise": ("supervisor",),
    "autoencode": AUTOENCODER,
    "generate": GENERATION,
    "discriminate": ("discriminator",),
}
"""What each optimiser trains; the phases do not share any."""
DRAWING = ("generator", "supervisor", "recovery")


class TimeganSettings(NamedTuple):
    """How the networks are built and trained; the defaults are those of the authors' code.

    Attributes:
        hidden: units of every layer, and channels of latent sequences.
        layers: of GRU in every network; the supervisor has one less.
        frame: neighbouring time samples that are one step of the sequence.
        scaling: ``channels``, or ``none`` where all values are in [0, 1] already.
        rounds: how often clients train and average, in each of the three phases.
        steps: minibatches of a round.
        batch: B.
        lr: Adam's rate at first.
        decay: whether the rates fall to zero along half a cosine, within each phase.
        gamma: weight of latent sequences that the supervisor has not passed.
        gate: the discriminator rests at this loss and below.
        moments: weight of V.
        shared: how much of the moments that V compares is that of the step before, which clients average.
        average: decay of the moving average of the parameters in the last phase, a step; 0: the last ones are kept.
        balance: how much more often samples of rare classes are shown; see `neural.ladder`.
    """

    hidden: int = 24
    layers: int = 3
    frame: int = 1
    scaling: Scaling = "channels"
    rounds: int = 100
    steps: int = 500
    batch: int = 128
    lr: float = 1e-3
    decay: bool = False
    gamma: float = 1.0
    gate: float = 0.15
    moments: float = 100.0
    shared: float = 0.0
    average: float = 0.0
    balance: float = 0.0


class TimeganState(NamedTuple):
    """What is trained."""

    scale: Scale
    params: Params  # of the five networks
    memory: dict[str, Tree]  # of the five optimisers
    tallies: Tallies  # of the last step, its two minibatches together
    average: Params  # of what drawing needs
    done: jax.Array  # float32[], steps of the last phase


class Artist(NamedTuple):
    """What drawing needs."""

    lens: Lens
    params: Params


def timegan(shape: Shape, settings: TimeganSettings) -> Generator:
    """Build the generator.

    Args:
        shape: of a sample.
        settings: of networks and training.

    Raises:
        BoflError: if the settings make no sense for the shape.
    """
    _check(shape, settings)
    sequences = Sequences(shape, settings.frame)
    weights = Weights(settings.gamma, settings.moments, settings.shared)
    nets = networks(sequences.channels, shape.classes, settings.hidden, settings.layers, weights)
    training = Training(settings, nets, sequences, optimisers(settings))

    def start(key: jax.Array) -> TimeganState:
        params = nets.start(key, sequences.steps, sequences.channels)
        memory = {name: rule.init(part(params, PLAYERS[name])) for name, rule in training.rules.items()}
        sums = jnp.zeros((sequences.steps, sequences.channels, shape.classes))
        empty = Tally(jnp.zeros(shape.classes), sums, sums)
        scale = start_scale(shape, settings.scaling)
        return TimeganState(scale, params, memory, Tallies(empty, empty), part(params, DRAWING), jnp.zeros(()))

    def finish(state: TimeganState) -> Artist:
        return Artist(lens(state.scale, shape), state.average)

    def sample(fitted: Artist, key: jax.Array, label: jax.Array, n: int) -> Drawn:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(n))
        z = jax.vmap(lambda key: jax.random.uniform(key, (sequences.steps, sequences.channels)), out_axes=2)(keys)
        drawn = sequences.unfold(nets.draw(fitted.params, z, jnp.full(n, label)))
        return decode(fitted.lens, wide(drawn, settings.scaling), shape)

    phases = {"embed": training.embed, "supervise": training.supervise, "joint": training.joint}
    stages = (Stage(name, settings.rounds, training.work(step)) for name, step in phases.items())
    return Generator(
        name="timegan",
        trainings=("federated", "local", "pooled"),
        least=2,
        from_normal=False,
        start=start,
        stages=(*scale_stages(shape, settings.scaling), *stages),
        finish=finish,
        sample=sample,
    )


class Training(NamedTuple):
    """The steps of the three phases: state, minibatch with ``z`` float32[B, D] scaled, key -> state, loss."""

    settings: TimeganSettings
    nets: Networks
    sequences: Sequences
    rules: dict[str, optax.GradientTransformation]

    def work(self, step: Any) -> Any:
        """A stage's work."""
        settings, sequences = self.settings, self.sequences

        def work(state: TimeganState, examples: Examples, key: jax.Array) -> tuple[TimeganState, jax.Array]:
            draw = minibatches(state.scale, examples, sequences.shape, settings.balance, settings.batch)

            def fresh(key: jax.Array) -> Minibatch:
                rows = draw(key)
                return Minibatch(sequences.fold(narrow(rows.z, settings.scaling)), rows.y)

            return run_steps(lambda state, key: step(state, fresh, key), state, examples, key, settings.steps)

        return work

    def embed(self, state: TimeganState, fresh: Any, key: jax.Array) -> tuple[TimeganState, jax.Array]:
        """A step of the first phase."""
        x, y = fresh(key)
        state, loss = self.move(state, "embed", lambda params: self.nets.autoencoding(params, x, y)[0])
        return state._replace(average=part(state.params, DRAWING)), loss

    def supervise(self, state: TimeganState, fresh: Any, key: jax.Array) -> tuple[TimeganState, jax.Array]:
        """A step of the second phase."""
        x, y = fresh(key)
        h = self.nets.apply("embedder", state.params, x, y)
        state, loss = self.move(state, "supervise", lambda params: self.nets.supervision(params, h, y))
        return state._replace(average=part(state.params, DRAWING)), loss

    def joint(self, state: TimeganState, fresh: Any, key: jax.Array) -> tuple[TimeganState, jax.Array]:
        """A step of the last phase; its loss is the generator's."""
        *both, third = jax.random.split(key, 3)
        state, (losses, tallies) = lax.scan(lambda state, key: self.generate(state, fresh, key), state, jnp.stack(both))
        state = state._replace(tallies=jax.tree.map(lambda two: two.mean(axis=0), tallies))
        rows, noise = jax.random.split(third)
        x, y = fresh(rows)
        z = jax.random.uniform(noise, x.shape)
        rested = state
        state, own = self.move(state, "discriminate", lambda params: self.nets.discrimination(params, x, y, z))
        awake = ~(own <= self.settings.gate)  # NaN goes on, to be seen
        state = jax.tree.map(lambda new, old: jnp.where(awake, new, old), state, rested)
        average = moving_average(state.average, part(state.params, DRAWING), self.settings.average, state.done)
        return state._replace(average=average, done=state.done + 1), losses.mean()

    def generate(self, state: TimeganState, fresh: Any, key: jax.Array) -> tuple[TimeganState, Tree]:
        """The generator's and the embedder's turn, on the same minibatch: the generator's loss and its tallies."""
        rows, noise = jax.random.split(key)
        x, y = fresh(rows)
        z = jax.random.uniform(noise, x.shape)

        def loss(params: Params) -> tuple[jax.Array, Tallies]:
            return self.nets.generation(params, x, y, z, state.tallies)

        state, told = self.descend(state, "generate", loss)
        state, _ = self.move(state, "autoencode", lambda params: self.nets.autoencoding_jointly(params, x, y))
        return state, told

    def move(self, state: TimeganState, name: str, loss: Any) -> tuple[TimeganState, jax.Array]:
        """One step of an optimiser on ``loss(params)``; it moves its own networks only."""
        state, (value, _) = self.descend(state, name, lambda params: (loss(params), ()))
        return state, value

    def descend(self, state: TimeganState, name: str, loss: Any) -> tuple[TimeganState, tuple[jax.Array, Tree]]:
        """The same for a ``loss(params)`` that tells more than its value."""
        own = part(state.params, PLAYERS[name])
        told, gradient = jax.value_and_grad(lambda own: loss(state.params | own), has_aux=True)(own)
        change, memory = self.rules[name].update(gradient, state.memory[name], own)
        params = state.params | optax.apply_updates(own, change)
        return state._replace(params=params, memory=state.memory | {name: memory}), told


def optimisers(settings: TimeganSettings) -> dict[str, optax.GradientTransformation]:
    """Adam for each part of the training."""
    total = settings.rounds * settings.steps
    moves = dict.fromkeys(PLAYERS, total) | {"autoencode": 2 * total, "generate": 2 * total}
    return {
        name: adam(settings.lr, count) if settings.decay else averageable(optax.adam(settings.lr))
        for name, count in moves.items()
    }


def part(params: Params, names: tuple[str, ...]) -> Params:
    """Some of the networks."""
    return {name: params[name] for name in names}


def narrow(z: jax.Array, scaling: Scaling) -> jax.Array:
    """Scaled values as numbers in [0, 1]."""
    return z if scaling == "none" else jnp.clip(0.5 + z / (2 * REACH), 0, 1)


def wide(unit: jax.Array, scaling: Scaling) -> jax.Array:
    """And back."""
    return unit if scaling == "none" else (unit - 0.5) * (2 * REACH)


def _check(shape: Shape, settings: TimeganSettings) -> None:
    if not 1 <= settings.frame <= shape.window // 2:
        raise BoflError(f"a frame of {settings.frame} time samples in windows of {shape.window}: there must be two")
    if settings.scaling == "whiten":
        raise BoflError(
            "whitened entries are no time series: choose scaling 'channels', or 'none' for values in [0, 1]"
        )
    if min(settings.hidden, settings.layers, settings.rounds, settings.steps, settings.batch) < 1:
        raise BoflError("a TimeGAN needs units, layers, rounds, steps and rows in a batch: choose 1 or more of each")
