"""``simulator``: the mechanistic beat of `bofl_jax.data.ecg.morphology`, fitted to a client's own beats.

A client that has only normal beats can draw from it what its S, V, F and Q beats would look like. `beat_fit` fits the
model, and `beat_rules` changes a normal beat into one of each class.

The focus of a ventricular beat (polarity, height, width) is drawn for every beat, not once a call: a client without V
beats does not know where its focus would be, and samples that share one wrong guess teach less than a mixture.

A client with n >= ``own_beats`` own beats of a class draws a beat with probability ``n / (n + prior_beats)`` from the
Gaussian of these beats and their RR inputs, and otherwise from the rules. This holds for N, too. Averaging a waveform
of one polarity with one of the other gives a beat that no heart makes, so the two sources are mixed as populations,
never as waveforms. For a client with own V beats, a fusion beat is a fusion of an own N and an own V beat.

The state consists of means of products, as that of ``pca-gaussian``, and everything else is computed from these at the
end. Federated and pooled training therefore give the same model up to rounding: the mean beat of all clients, which
belongs to no client, beside the class Gaussians of ``pca-gaussian``. The generator is meant for local training.

References:
    McSharry, Clifford, Tarassenko, Smith: A dynamical model for generating synthetic electrocardiogram signals.
    IEEE Transactions on Biomedical Engineering, 2003.
"""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from pydantic import Field

from bofl_jax.core.errors import BoflError
from bofl_jax.data.ecg.aami import CLASSES
from bofl_jax.data.ecg.features import CLIP
from bofl_jax.data.ecg.morphology import F
from bofl_jax.synthesis.base import ClientSamples, Generator, SampleShape, Stage, SyntheticSamples
from bofl_jax.synthesis.ecg.beat_fit import RR_INPUTS, fit_beat, fit_intervals, normal_variance, split_variation
from bofl_jax.synthesis.ecg.beat_rules import NORMAL_SHARE, NormalBeats, sample_by_rules
from bofl_jax.synthesis.generators.gaussian import ClassGaussians, ClassMoments, pca_gaussian
from bofl_jax.synthesis.options import LocalSynthesisOptions, TrainingMode
from bofl_jax.synthesis.registry import GENERATORS, GeneratorEntry


class MechanisticOptions(LocalSynthesisOptions):
    """``simulator``: the mechanistic ECG model, fitted to a client's own beats; makes every class from normal ones."""

    trainings: ClassVar[tuple[TrainingMode, ...]] = ("local", "federated", "pooled")

    generator: Literal["simulator"] = "simulator"
    own_beats: int = Field(5, ge=2, description="own beats of a class from which on they are drawn from, too")
    prior_beats: float = Field(5.0, gt=0, description="k: n own beats are drawn from with probability n / (n + k)")
    rank: int = Field(12, ge=1, description="principal axes of the variation within a class")
    steps: int = Field(40, ge=1, description="Levenberg-Marquardt steps of the fit")
    least: int = Field(5, ge=2, description="normal beats that a client must have")


class SufficientStatistics(NamedTuple):
    """The statistics of a client's beats from which the model is computed."""

    moments: ClassMoments
    counts: jax.Array  # float32[K], beats; after federated training the clients' mean, weighted by their samples


class FittedEcgModel(NamedTuple):
    """The fitted model. The names of the fields, here and in their types, are part of its digest on the ledger."""

    normal: NormalBeats
    own: ClassGaussians
    trust: jax.Array  # float32[K], probability that a beat is drawn from the client's own ones


def mechanistic(shape: SampleShape, options: MechanisticOptions) -> Generator:
    """Build the generator.

    Args:
        shape: of beats with the R peak at T/2, one lead and the 7 or 4 inputs of `bofl_jax.data.ecg.features`; classes
            are from N, S, V, F, Q, with N first.
        options: of the fit.

    Raises:
        BoflError: if the samples are not such beats.

    >>> shape = SampleShape(window=128, leads=1, features=7, classes=("N", "V"), fs=180.0)
    >>> mechanistic(shape, MechanisticOptions()).source_class
    0
    """
    _reject_other_samples(shape)
    classes = shape.classes
    gaussians = pca_gaussian(shape, options.rank)
    codes = jnp.array([CLASSES.index(name) for name in classes])
    time = window_time(shape)

    def init(key: jax.Array) -> SufficientStatistics:
        return SufficientStatistics(gaussians.init(key), jnp.zeros(shape.num_classes))

    def measure(
        state: SufficientStatistics, samples: ClientSamples, key: jax.Array
    ) -> tuple[SufficientStatistics, jax.Array]:
        moments, loss = gaussians.stages[0].client_update(state.moments, samples, key)
        return SufficientStatistics(moments, moments.share * samples.size), loss

    def finalize(state: SufficientStatistics) -> FittedEcgModel:
        own = gaussians.finalize(state.moments)
        known = state.counts >= options.own_beats
        trust = known * state.counts / (state.counts + options.prior_beats)
        return FittedEcgModel(_fit_normal_beats(state.moments, own, time, options.steps), own, trust)

    def sample(fitted: FittedEcgModel, key: jax.Array, label: jax.Array, n: int) -> SyntheticSamples:
        rule_key, own_key, mix_key, fusion_key = jax.random.split(key, 4)
        by_rules = sample_by_rules(fitted.normal, rule_key, codes[label], n, time, shape.features)
        if {"V", "F"} <= set(classes):
            fused, is_fused = fuse(fitted, fusion_key, classes.index("V"), n)
            by_rules = by_rules._replace(x=jnp.where(is_fused & (codes[label] == F), fused, by_rules.x))
        own = gaussians.sample(fitted.own, own_key, label, n)
        is_own = jax.random.uniform(mix_key, (n, 1)) < fitted.trust[label]
        features = jnp.where(is_own, own.features, by_rules.features)
        return SyntheticSamples(jnp.where(is_own[..., None], own.x, by_rules.x), jnp.clip(features, -CLIP, CLIP))

    def fuse(fitted: FittedEcgModel, key: jax.Array, ventricular: int, n: int) -> tuple[jax.Array, jax.Array]:
        """Fusions of own N and V beats, ``[n, T, 1]``, and which of them to use, bool[n, 1, 1]."""
        n_key, v_key, share_key, use_key = jax.random.split(key, 4)
        normal, ectopic = (
            gaussians.sample(fitted.own, one, jnp.int32(label), n).x
            for one, label in ((n_key, 0), (v_key, ventricular))
        )
        share = jax.random.uniform(share_key, (n, 1, 1), minval=NORMAL_SHARE[0], maxval=NORMAL_SHARE[1])
        is_fused = jax.random.uniform(use_key, (n, 1, 1)) < fitted.trust[ventricular]
        return share * normal + (1 - share) * ectopic, is_fused

    stages = (Stage("moments", 1, measure),)
    return Generator("simulator", options.least, init, stages, finalize, sample, source_class=0)


def window_time(shape: SampleShape) -> jax.Array:
    """float32[T]: the time of every sample of a window, in s from the R peak."""
    return (jnp.arange(shape.window) - shape.window // 2) / shape.fs


def _fit_normal_beats(moments: ClassMoments, own: ClassGaussians, time: jax.Array, steps: int) -> NormalBeats:
    window = len(time)
    mean, axes, variance = own.mean[0, :window], own.axes[0, :, :window], normal_variance(moments)[:window]
    intervals = fit_intervals(moments, moments.first.shape[1] - window)
    beat = fit_beat(mean, time, intervals.usual, steps)
    height = jnp.sqrt(jnp.max(mean**2 + variance))
    return NormalBeats(beat, split_variation(axes, variance, beat.waves, time), intervals, height)


def _reject_other_samples(shape: SampleShape) -> None:
    classes = shape.classes
    if not classes or classes[0] != "N" or not set(classes) <= set(CLASSES):
        raise BoflError(
            f"the simulator draws beats of the classes {', '.join(CLASSES)} with N first, and the data have "
            f"{', '.join(classes)}: choose another synthesis.generator"
        )
    if shape.leads != 1 or shape.features not in RR_INPUTS:
        raise BoflError(
            f"the simulator draws one lead with {' or '.join(map(str, RR_INPUTS))} RR inputs, and the samples have "
            f"{shape.leads} leads and {shape.features} inputs: choose another synthesis.generator"
        )


GENERATORS.register(GeneratorEntry(MechanisticOptions, mechanistic))
