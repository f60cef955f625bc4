"""``timegan``: a class-conditional TimeGAN of windows and features.

There are five recurrent networks (see `timegan_networks`). The embedder maps sequences X to latent sequences H, and the
recovery maps them back. The generator makes latent sequences E^ from noise Z ~ U(0, 1). The supervisor predicts the
next step of a latent sequence, and the discriminator tells H from E^ and from ``H^ = supervisor(E^)``. All receive the
class; with one class they are those of the paper. There are three phases, each of ``rounds`` times ``steps``
minibatches::

    embed      10 sqrt(MSE(X, X~)),  X~ = recovery(H)                               embedder, recovery
    supervise  S = MSE(H[t + 1], supervisor(H)[t])                                  supervisor
    joint      twice:  U(H^) + gamma U(E^) + 100 sqrt(S) + 100 V                    generator, supervisor
                       10 sqrt(MSE(X, X~)) + .1 S                                   embedder, recovery
               once:   BCE(H, real) + BCE(H^, fake) + gamma BCE(E^, fake)           discriminator

U is the cross-entropy to being classified as real. V is the mean absolute difference, over time and channels, between
the means and standard deviations of a batch of X and of a batch of ``X^ = recovery(H^)``, within each class. (Over all
classes at once, the distance between classes would count as spread, and rare classes would collapse.) A client's few
samples of a class do not show its spread: with ``shared``, V compares the moments of the samples of all clients in the
step before, whose sums are averaged with the rest of the state, and the client's own samples give the gradient. The
discriminator is not trained while its loss is at most ``gate``. The losses and their weights are those of the authors'
code, which differ from the paper's.

Networks see values in [0, 1]: either the samples are in this range (scaling ``none``), or values within four standard
deviations of their channel's mean are mapped to it, and others are clipped. ``frame`` neighbouring time samples are one
step of a sequence. Features are channels that are constant over time; generated ones are averaged over time.

References:
    Yoon, Jarrett, van der Schaar: Time-series generative adversarial networks. NeurIPS, 2019.
    Yazici et al.: The unusual effectiveness of averaging in GAN training. ICLR, 2019 (the averaged generator).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import lax
from pydantic import Field

from bofl_jax.core.errors import BoflError
from bofl_jax.synthesis.base import ClientSamples, ClientUpdateFn, Generator, SampleShape, Stage, SyntheticSamples
from bofl_jax.synthesis.generators.class_moments import ClassSums, PairedSums
from bofl_jax.synthesis.generators.neural import (
    FittedNetwork,
    Minibatch,
    MinibatchSampler,
    NeuralOptions,
    adam,
    minibatch_sampler,
    moving_average,
    run_steps,
    with_float_state,
)
from bofl_jax.synthesis.generators.sequences import Sequences, from_unit, to_unit
from bofl_jax.synthesis.generators.standardizer import (
    Scaling,
    ScalingStatistics,
    decode,
    initial_statistics,
    scaling_stages,
    standardizer,
)
from bofl_jax.synthesis.generators.timegan_networks import LossWeights, Networks, Params, Tree, networks
from bofl_jax.synthesis.registry import GENERATORS, GeneratorEntry

AUTOENCODER = ("embedder", "recovery")
TRAINED_NETWORKS = {
    "embed": AUTOENCODER,
    "supervise": ("supervisor",),
    "autoencode": AUTOENCODER,
    "generate": ("generator", "supervisor"),
    "discriminate": ("discriminator",),
}
"""The networks that each optimiser trains; no optimiser serves two phases."""
SAMPLING_NETWORKS = ("generator", "supervisor", "recovery")


class TimeganOptions(NeuralOptions):
    """``timegan``: a TimeGAN, for windows that are time series."""

    generator: Literal["timegan"] = "timegan"
    scaling: Scaling = Field("channels", description="standardisation; none: all values are in [0, 1] already")
    hidden: int = Field(24, ge=1, description="units of a layer, and channels of latent sequences")
    layers: int = Field(3, ge=1, description="GRU layers of a network; the supervisor has one less")
    frame: int = Field(8, ge=1, description="neighbouring time samples that are one step of a sequence")
    rounds: int = Field(5000, ge=1, description="how often clients train and average, in each of the three phases")
    steps: int = Field(1, ge=1, description="minibatches of a round; with more, clients with other data diverge")
    batch: int = Field(32, ge=1, description="B")
    lr: float = Field(2e-3, gt=0, description="Adam's initial learning rate")
    balance: float = Field(
        1.0, ge=0, le=1, description="oversampling of rare classes in minibatches; 1: all classes equally often"
    )
    decay: bool = Field(True, description="whether the rates fall to zero along half a cosine in each phase")
    gamma: float = Field(1.0, ge=0, description="weight of latent sequences that have not passed the supervisor")
    gate: float = Field(0.15, ge=0, description="the discriminator is not trained at this loss and below")
    moments: float = Field(
        100.0, ge=0, description="weight of the distance between the batches' means and deviations, by class"
    )
    shared: float = Field(1.0, ge=0, le=1, description="weight in these of the moments of all clients, a step earlier")


class TimeganState(NamedTuple):
    """State of the training."""

    statistics: ScalingStatistics
    params: Params  # of the five networks
    opt_state: dict[str, Tree]  # of the five optimisers
    class_sums: PairedSums  # of the last step, mean of its two minibatches
    ema_params: Params  # moving average of the networks that draw
    step: jax.Array  # float32[], steps of the joint phase so far


class TrainStep(Protocol):
    """One step of a phase."""

    def __call__(
        self, state: TimeganState, draw: MinibatchSampler, key: jax.Array, /
    ) -> tuple[TimeganState, jax.Array]:
        """Train on a minibatch.

        Args:
            state: state before the step.
            draw: draws a minibatch, with ``z`` a batch of sequences float32[T, D, B] in [0, 1].
            key: random key.

        Returns:
            The state after the step, and the loss float32[].
        """
        ...


def timegan(shape: SampleShape, options: TimeganOptions) -> Generator:
    """Build the generator.

    Args:
        shape: sizes of the samples.
        options: of networks and training.

    Raises:
        BoflError: if a sequence would have a single step, or whitened samples are asked for.
    """
    _check(shape, options)
    sequences, classes = Sequences(shape, options.frame), shape.num_classes
    weights = LossWeights(options.gamma, options.moments, options.shared)
    nets = networks(sequences.channels, classes, options.hidden, options.layers, weights)
    trainer = TimeganTrainer(options, nets, sequences, optimizers(options))

    def init(key: jax.Array) -> TimeganState:
        params = nets.init(key, sequences.steps, sequences.channels)
        opt_state = {
            name: optimizer.init(select(params, TRAINED_NETWORKS[name]))
            for name, optimizer in trainer.optimizers.items()
        }
        sums = jnp.zeros((sequences.steps, sequences.channels, classes))
        empty = ClassSums(jnp.zeros(classes), sums, sums)
        statistics, sampling = initial_statistics(shape, options.scaling), select(params, SAMPLING_NETWORKS)
        return TimeganState(statistics, params, opt_state, PairedSums(empty, empty), sampling, jnp.zeros(()))

    def finalize(state: TimeganState) -> FittedNetwork:
        return FittedNetwork(standardizer(state.statistics, shape), state.ema_params)

    def sample(fitted: FittedNetwork, key: jax.Array, label: jax.Array, n: int) -> SyntheticSamples:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(n))
        z = jax.vmap(lambda key: jax.random.uniform(key, (sequences.steps, sequences.channels)), out_axes=2)(keys)
        unit = sequences.unfold(nets.generate(fitted.params, z, jnp.full(n, label)))
        return decode(fitted.lens, from_unit(unit, options.scaling), shape)

    phases = {"embed": trainer.embed, "supervise": trainer.supervise, "joint": trainer.joint}
    trained = (Stage(name, options.rounds, trainer.client_update(step)) for name, step in phases.items())
    return Generator("timegan", 2, init, (*scaling_stages(shape, options.scaling), *trained), finalize, sample)


class TimeganTrainer(NamedTuple):
    """The steps of the three phases."""

    options: TimeganOptions
    nets: Networks
    sequences: Sequences
    optimizers: dict[str, optax.GradientTransformation]

    def client_update(self, step: TrainStep) -> ClientUpdateFn:
        """The work of one client in one round of a phase."""
        options, sequences = self.options, self.sequences

        def client_update(state: TimeganState, samples: ClientSamples, key: jax.Array) -> tuple[Tree, jax.Array]:
            draw_vectors = minibatch_sampler(state.statistics, samples, sequences.shape, options)

            def draw(key: jax.Array) -> Minibatch:
                batch = draw_vectors(key)
                return Minibatch(sequences.fold(to_unit(batch.z, options.scaling)), batch.y)

            return run_steps(lambda state, key: step(state, draw, key), state, samples, key, options.steps)

        return client_update

    def embed(self, state: TimeganState, draw: MinibatchSampler, key: jax.Array) -> tuple[TimeganState, jax.Array]:
        """A step of the first phase; see `TrainStep`."""
        x, y = draw(key)
        state, loss = self.descend(state, "embed", lambda params: self.nets.reconstruction_loss(params, x, y)[0])
        return state._replace(ema_params=select(state.params, SAMPLING_NETWORKS)), loss

    def supervise(self, state: TimeganState, draw: MinibatchSampler, key: jax.Array) -> tuple[TimeganState, jax.Array]:
        """A step of the second phase; see `TrainStep`."""
        x, y = draw(key)
        h = self.nets.apply("embedder", state.params, x, y)
        state, loss = self.descend(state, "supervise", lambda params: self.nets.supervisor_loss(params, h, y))
        return state._replace(ema_params=select(state.params, SAMPLING_NETWORKS)), loss

    def joint(self, state: TimeganState, draw: MinibatchSampler, key: jax.Array) -> tuple[TimeganState, jax.Array]:
        """A step of the last phase; see `TrainStep`. The loss is that of the generator."""
        *generator_keys, discriminator_key = jax.random.split(key, 3)
        state, (losses, sums) = lax.scan(
            lambda state, key: self.generator_step(state, draw, key), state, jnp.stack(generator_keys)
        )
        state = state._replace(class_sums=jax.tree.map(lambda two: two.mean(axis=0), sums))
        row_key, noise_key = jax.random.split(discriminator_key)
        x, y = draw(row_key)
        z = jax.random.uniform(noise_key, x.shape)
        trained, loss = self.descend(
            state, "discriminate", lambda params: self.nets.discriminator_loss(params, x, y, z)
        )
        is_trained = ~(loss <= self.options.gate)  # true for NaN, so that it is noticed
        state = jax.tree.map(lambda new, old: jnp.where(is_trained, new, old), trained, state)
        sampling = select(state.params, SAMPLING_NETWORKS)
        ema_params = moving_average(state.ema_params, sampling, self.options.average, state.step)
        return state._replace(ema_params=ema_params, step=state.step + 1), losses.mean()

    def generator_step(
        self, state: TimeganState, draw: MinibatchSampler, key: jax.Array
    ) -> tuple[TimeganState, tuple[jax.Array, PairedSums]]:
        """Train generator and supervisor, then embedder and recovery, on the same minibatch.

        Args:
            state: state before the step.
            draw: draws a minibatch.
            key: random key.

        Returns:
            The state after the step, and the generator's loss and class sums.
        """
        row_key, noise_key = jax.random.split(key)
        x, y = draw(row_key)
        z = jax.random.uniform(noise_key, x.shape)

        def loss(params: Params) -> tuple[jax.Array, PairedSums]:
            return self.nets.generator_loss(params, x, y, z, state.class_sums)

        state, result = self.descend_with_aux(state, "generate", loss)
        state, _ = self.descend(state, "autoencode", lambda params: self.nets.embedder_loss(params, x, y))
        return state, result

    def descend(
        self, state: TimeganState, name: str, loss: Callable[[Params], jax.Array]
    ) -> tuple[TimeganState, jax.Array]:
        """Take one step of an optimiser, which changes its own networks only.

        Args:
            state: state before the step.
            name: name of the optimiser.
            loss: loss as a function of the parameters of all networks.
        """
        state, (value, _) = self.descend_with_aux(state, name, lambda params: (loss(params), ()))
        return state, value

    def descend_with_aux(
        self, state: TimeganState, name: str, loss: Callable[[Params], tuple[jax.Array, Tree]]
    ) -> tuple[TimeganState, tuple[jax.Array, Tree]]:
        """The same for a loss that returns auxiliary values, too.

        Args:
            state: state before the step.
            name: name of the optimiser.
            loss: loss and auxiliary values as a function of the parameters of all networks.
        """
        own = select(state.params, TRAINED_NETWORKS[name])
        result, gradient = jax.value_and_grad(lambda own: loss(state.params | own), has_aux=True)(own)
        updates, opt_state = self.optimizers[name].update(gradient, state.opt_state[name], own)
        params = state.params | optax.apply_updates(own, updates)
        return state._replace(params=params, opt_state=state.opt_state | {name: opt_state}), result


def optimizers(options: TimeganOptions) -> dict[str, optax.GradientTransformation]:
    """Adam for each entry of `TRAINED_NETWORKS`."""
    total = options.rounds * options.steps
    steps = dict.fromkeys(TRAINED_NETWORKS, total) | {"autoencode": 2 * total, "generate": 2 * total}
    return {
        name: adam(options.lr, count) if options.decay else with_float_state(optax.adam(options.lr))
        for name, count in steps.items()
    }


def select(params: Params, names: tuple[str, ...]) -> Params:
    """The parameters of some of the networks."""
    return {name: params[name] for name in names}


def _check(shape: SampleShape, options: TimeganOptions) -> None:
    if options.frame > shape.window // 2:
        raise BoflError(
            f"a frame of {options.frame} time samples in windows of {shape.window}: choose a shorter one, "
            "so that there are at least two"
        )
    if options.scaling == "whiten":
        raise BoflError(
            "whitened entries are no time series: choose scaling 'channels', or 'none' for values in [0, 1]"
        )


GENERATORS.register(GeneratorEntry(TimeganOptions, timegan))
