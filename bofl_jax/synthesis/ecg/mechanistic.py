"""``simulator``: the mechanistic beat of `bofl_jax.data.morphology`, fitted to a client's own beats.

A client that has normal beats only can draw from it what its S, V, F and Q beats would look like (`beat_fit` is how it
is fitted, `beat_rules` what becomes of a normal beat in each class).

The focus of a ventricular beat (polarity, height, width) is drawn for every beat, not once a call: a client without V
beats does not know where its focus would be, and samples that are all of one wrong guess teach less than a mixture.
From ``own_beats`` own beats of a class on, a drawn beat comes with probability ``n / (n + prior_beats)`` from the
Gaussian of the client's own n beats and their RR inputs, and otherwise from the rules; N is one of the classes. Half a
beat of one polarity and half a beat of the other would be one that no heart makes, so the two are mixed as populations,
never as waveforms. A fusion beat of a client with own V beats is fused of an own N and an own V beat.

The state is means of products, as that of ``pca-gaussian``; everything else is computed from them at the end. Federated
and pooled training therefore give one and the same heart to rounding: that of the mean beat of everybody, which is
nobody's, beside the class Gaussians of ``pca-gaussian``. Local training is what this is for.

References:
    McSharry, Clifford, Tarassenko, Smith: A dynamical model for generating synthetic electrocardiogram signals.
    IEEE Transactions on Biomedical Engineering, 2003.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.data.ecg.features import CLIP
from bofl_jax.data.ecg.morphology import F
from bofl_jax.data.ecg.records import CLASSES
from bofl_jax.synthesis.base import Drawn, Examples, Generator, Shape, Stage
from bofl_jax.synthesis.ecg.beat_fit import LAYOUTS, fit_beat, fit_intervals, normal_variance, split_spread
from bofl_jax.synthesis.ecg.beat_rules import FROM_ATRIA, Normal, draw_by_rules
from bofl_jax.synthesis.generators.gaussian import Gaussians, Moments, pca_gaussian


class MechanisticSettings(NamedTuple):
    """How the model is fitted and mixed.

    Attributes:
        own_beats: own beats of a class from which on they are used.
        prior_beats: k of ``n / (n + k)``.
        rank: principal axes of the spread within a class.
        steps: Levenberg-Marquardt steps of the fit.
        least: N beats that a client must have.
    """

    own_beats: int = 5
    prior_beats: float = 5.0
    rank: int = 12
    steps: int = 40
    least: int = 5


class Counted(NamedTuple):
    """What a client works out of its beats."""

    moments: Moments
    counts: jax.Array  # float32[K]; after federated training the clients' mean, weighted by their samples


class Heart(NamedTuple):
    """What drawing needs."""

    normal: Normal
    own: Gaussians
    trust: jax.Array  # float32[K], probability that a beat is drawn from the client's own ones


def mechanistic(shape: Shape, settings: MechanisticSettings, classes: tuple[str, ...]) -> Generator:
    """Build the generator.

    Args:
        shape: of a sample: R peaks at T/2, one lead, the 7 or 4 inputs of `bofl_jax.data.features`.
        settings: of the fit.
        classes: names of the K classes, of N, S, V, F, Q, with N first.

    Raises:
        BoflError: if such samples are no beats.

    >>> shape = Shape(window=128, leads=1, features=7, classes=2, fs=180.0)
    >>> mechanistic(shape, MechanisticSettings(), ("N", "V")).from_normal
    True
    """
    _refuse_other_samples(shape, classes)
    gaussians = pca_gaussian(shape, settings.rank)
    codes = jnp.array([CLASSES.index(name) for name in classes])
    time = window_time(shape)

    def start(key: jax.Array) -> Counted:
        return Counted(gaussians.start(key), jnp.zeros(shape.classes))

    def work(state: Counted, examples: Examples, key: jax.Array) -> tuple[Counted, jax.Array]:
        moments, loss = gaussians.stages[0].work(state.moments, examples, key)
        return Counted(moments, moments.share * examples.size), loss

    def finish(state: Counted) -> Heart:
        own = gaussians.finish(state.moments)
        known = state.counts >= settings.own_beats
        trust = known * state.counts / (state.counts + settings.prior_beats)
        return Heart(_normal(state.moments, own, time, settings.steps), own, trust)

    def sample(fitted: Heart, key: jax.Array, label: jax.Array, n: int) -> Drawn:
        rule_key, own_key, mix_key, fuse_key = jax.random.split(key, 4)
        by_rules = draw_by_rules(fitted.normal, rule_key, codes[label], n, time, shape.features)
        if {"V", "F"} <= set(classes):
            fused, certain = fuse(fitted, fuse_key, classes.index("V"), n)
            by_rules = by_rules._replace(x=jnp.where(certain & (codes[label] == F), fused, by_rules.x))
        own = gaussians.sample(fitted.own, own_key, label, n)
        is_own = jax.random.uniform(mix_key, (n, 1)) < fitted.trust[label]
        features = jnp.where(is_own, own.features, by_rules.features)
        return Drawn(jnp.where(is_own[..., None], own.x, by_rules.x), jnp.clip(features, -CLIP, CLIP))

    def fuse(fitted: Heart, key: jax.Array, ventricular: int, n: int) -> tuple[jax.Array, jax.Array]:
        """Own N and V beats fused, ``[n, T, 1]``, and which of them to use, ``[n, 1, 1]``."""
        n_key, v_key, share_key, use_key = jax.random.split(key, 4)
        usual, ectopic = (
            gaussians.sample(fitted.own, one, jnp.int32(label), n).x
            for one, label in ((n_key, 0), (v_key, ventricular))
        )
        share = jax.random.uniform(share_key, (n, 1, 1), minval=FROM_ATRIA[0], maxval=FROM_ATRIA[1])
        certain = jax.random.uniform(use_key, (n, 1, 1)) < fitted.trust[ventricular]
        return share * usual + (1 - share) * ectopic, certain

    return Generator(
        name="simulator",
        trainings=("local", "federated", "pooled"),
        least=settings.least,
        from_normal=True,
        start=start,
        stages=(Stage("moments", 1, work),),
        finish=finish,
        sample=sample,
    )


def window_time(shape: Shape) -> jax.Array:
    """float32[T]: s from the R peak."""
    return (jnp.arange(shape.window) - shape.window // 2) / shape.fs


def _normal(moments: Moments, own: Gaussians, time: jax.Array, steps: int) -> Normal:
    window = len(time)
    mean, axes, variance = own.mean[0, :window], own.axes[0, :, :window], normal_variance(moments)[:window]
    intervals = fit_intervals(moments, moments.first.shape[1] - window)
    beat = fit_beat(mean, time, intervals.usual, steps)
    height = jnp.sqrt(jnp.max(mean**2 + variance))
    return Normal(beat, split_spread(axes, variance, beat.waves, time), intervals, height)


def _refuse_other_samples(shape: Shape, classes: tuple[str, ...]) -> None:
    if not classes or classes[0] != "N" or not set(classes) <= set(CLASSES) or len(classes) != shape.classes:
        raise BoflError(
            f"the simulator draws beats of the classes {', '.join(CLASSES)} with N first, and the data have "
            f"{', '.join(classes)}: choose another synthesis.generator"
        )
    if shape.leads != 1 or shape.features not in LAYOUTS:
        raise BoflError(
            f"the simulator draws one lead with {' or '.join(map(str, LAYOUTS))} RR inputs, and the samples have "
            f"{shape.leads} leads and {shape.features} inputs: choose another synthesis.generator"
        )
