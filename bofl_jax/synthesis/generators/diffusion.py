"""``diffusion``: a class-conditional denoising diffusion model of windows and features.

Noise is added to a sample, as a standardised vector z_0 (see `standardizer`), at a level t from 0 to 1, and a network
(see `mixer`) learns to remove it::

    z_t = a z_0 + s e,    e ~ N(0, 1),    a = cos(pi/2 (t + .008) / 1.008),    s = sqrt(1 - a^2)

The network receives z_t, t and the class, and predicts ``v = a e - s z_0`` (or e, or z_0), from which the other two
follow. Sampling starts from noise and lowers the level step by step, from t to u with ``q = a_t s_u / (a_u s_t)``::

    z_u = s_u / s_t q^eta z_t + a_u (1 - q^(1 + eta)) z_0' + s_u sqrt(1 - q^(2 eta)) e

where z_0' extrapolates the predictions at t and at the level before linearly over log q: a solver of second order. A
solver of first order (DDPM, DDIM) loses some of the spread: drawing N(0, .3^2) in 50 steps, it loses 6 % and 3 % of the
standard deviation, and this one gains 1 %.

References:
    Ho, Jain, Abbeel: Denoising diffusion probabilistic models. NeurIPS, 2020.
    Nichol, Dhariwal: Improved denoising diffusion probabilistic models. ICML, 2021 (the cosine).
    Song, Meng, Ermon: Denoising diffusion implicit models. ICLR, 2021 (eta).
    Lu, Zhou, Bao, Chen, Li, Zhu: DPM-Solver++: Fast solver for guided sampling of diffusion probabilistic models.
    Machine Intelligence Research, 2025 (the second order).
    Salimans, Ho: Progressive distillation for fast sampling of diffusion models. ICLR, 2022 (v).
"""

from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax
from pydantic import Field

from bofl_jax.core.errors import BoflError
from bofl_jax.synthesis.base import ClientSamples, Generator, SampleShape, Stage, SyntheticSamples
from bofl_jax.synthesis.generators.mixer import Mixer
from bofl_jax.synthesis.generators.neural import (
    FittedNetwork,
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

Target = Literal["v", "noise", "sample"]

COSINE_OFFSET = 0.008
"""Offset of the cosine, so that there is some noise at the lowest levels."""
MIN_SIGNAL = 1e-3
"""Smallest a, at t = 1."""
SPACING_POWER = 1.5
"""Sampling visits the levels ``(i / draws) ** SPACING_POWER``: steps are shorter where little noise is left."""
SAMPLES_PER_BATCH = 256
"""Samples that are drawn in one vectorised call."""


class DiffusionOptions(NeuralOptions):
    """``diffusion``: a denoising diffusion model."""

    generator: Literal["diffusion"] = "diffusion"
    width: int = Field(96, ge=2, multiple_of=2, description="channels of a token")
    depth: int = Field(4, ge=1, description="blocks of the network")
    frame: int = Field(4, ge=1, description="neighbouring time samples that are one token")
    draws: int = Field(50, ge=1, description="denoising steps of sampling")
    eta: float = Field(1.0, ge=0, le=1, description="noise added again while sampling: 1 as in DDPM, 0 as in DDIM")
    target: Target = Field("v", description="what the network predicts")
    clip: float = Field(0.0, ge=0, description="limit on entries while sampling, in standard deviations; 0: none")


class DiffusionState(NamedTuple):
    """State of the training."""

    statistics: ScalingStatistics
    params: Tree  # of the network
    opt_state: Tree  # of Adam
    ema_params: Tree  # moving average of the parameters
    step: jax.Array  # float32[], steps so far


def noise_schedule(noise_level: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The scales a and s at noise levels in [0, 1]. Level 0 is free of noise, so that sampling ends without noise."""
    angle = jnp.pi / 2 * (noise_level + COSINE_OFFSET) / (1 + COSINE_OFFSET)
    a = jnp.where(noise_level > 0, jnp.maximum(jnp.cos(angle), MIN_SIGNAL), 1.0)
    return a, jnp.where(noise_level > 0, jnp.sin(angle), 0.0)


def training_target(target: Target, z0: jax.Array, noise: jax.Array, a: jax.Array, s: jax.Array) -> jax.Array:
    """The value that the network should predict.

    Args:
        target: kind of the prediction.
        z0: float32[B, D], the sample.
        noise: float32[B, D], e.
        a: scale of the sample.
        s: scale of the noise.
    """
    return {"v": a * noise - s * z0, "noise": noise, "sample": z0}[target]


def predicted_sample(target: Target, prediction: jax.Array, z: jax.Array, a: jax.Array, s: jax.Array) -> jax.Array:
    """z_0 according to a prediction of the network.

    Args:
        target: kind of the prediction.
        prediction: float32[B, D], output of the network.
        z: float32[B, D], its input.
        a: scale of the sample.
        s: scale of the noise.
    """
    return {"v": a * z - s * prediction, "noise": (z - s * prediction) / a, "sample": prediction}[target]


def diffusion(shape: SampleShape, options: DiffusionOptions) -> Generator:
    """Build the generator.

    Args:
        shape: sizes of the samples.
        options: of network, training and sampling.

    Raises:
        BoflError: if a frame is longer than the window.
    """
    if options.frame > shape.window:
        raise BoflError(f"a frame of {options.frame} time samples in windows of {shape.window}: choose a shorter one")
    network = Mixer(shape, options.width, options.depth, options.frame)
    optimizer = adam(options.lr, options.rounds * options.steps)

    def init(key: jax.Array) -> DiffusionState:
        label = jnp.zeros(1, jnp.int32)
        params = jax.jit(network.init)(key, jnp.zeros((1, shape.size)), jnp.zeros(1), label)
        statistics = initial_statistics(shape, options.scaling)
        return DiffusionState(statistics, params, optimizer.init(params), params, jnp.zeros(()))

    def loss(params: Tree, z0: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
        level_key, noise_key = jax.random.split(key)
        level = 1 - (jax.random.uniform(level_key) + jnp.arange(len(z0)) / len(z0)) % 1.0
        a, s = (scale[:, None] for scale in noise_schedule(level))
        noise = jax.random.normal(noise_key, z0.shape)
        prediction = cast(jax.Array, network.apply(params, a * z0 + s * noise, level, y))
        return jnp.mean((prediction - training_target(options.target, z0, noise, a, s)) ** 2)

    def train(state: DiffusionState, samples: ClientSamples, key: jax.Array) -> tuple[DiffusionState, jax.Array]:
        draw = minibatch_sampler(state.statistics, samples, shape, options)

        def step(state: DiffusionState, key: jax.Array) -> tuple[DiffusionState, jax.Array]:
            row_key, loss_key = jax.random.split(key)
            value, gradient = jax.value_and_grad(loss)(state.params, *draw(row_key), loss_key)
            updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
            ema_params = moving_average(state.ema_params, params, options.average, state.step)
            return DiffusionState(state.statistics, params, opt_state, ema_params, state.step + 1), value

        return run_steps(step, state, samples, key, options.steps)

    def finalize(state: DiffusionState) -> FittedNetwork:
        return FittedNetwork(standardizer(state.statistics, shape), state.ema_params)

    def sample(fitted: FittedNetwork, key: jax.Array, label: jax.Array, n: int) -> SyntheticSamples:
        def one(number: jax.Array) -> jax.Array:
            return _denoise(network, fitted.params, label, jax.random.fold_in(key, number), options)

        return decode(fitted.lens, lax.map(one, jnp.arange(n), batch_size=SAMPLES_PER_BATCH), shape)

    stages = (*scaling_stages(shape, options.scaling), Stage("denoise", options.rounds, train))
    return Generator("diffusion", 2, init, stages, finalize, sample)


def _denoise(network: Mixer, params: Tree, label: jax.Array, key: jax.Array, options: DiffusionOptions) -> jax.Array:
    """Draw one z_0 float32[D], starting from noise."""
    levels = (jnp.arange(options.draws, -1, -1) / options.draws) ** SPACING_POWER
    first = jax.random.normal(jax.random.fold_in(key, options.draws), (network.shape.size,))

    def step(carry: Any, at: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Any, None]:
        z, last_z0, last_log_step = carry
        level, next_level, number = at
        a, s = noise_schedule(level)
        prediction = cast(jax.Array, network.apply(params, z[None], level[None], label[None]))[0]
        z0 = predicted_sample(options.target, prediction, z, a, s)
        z0 = jnp.clip(z0, -options.clip, options.clip) if options.clip else z0
        q, log_step = _step_size(level, next_level)
        extrapolated = z0 + 0.5 * log_step / last_log_step * (z0 - last_z0)
        noise = jax.random.normal(jax.random.fold_in(key, number), z.shape)
        z = _lower_noise(z, extrapolated, noise, level, next_level, q, options.eta)
        return (z, z0, jnp.where(log_step > 0, log_step, jnp.inf)), None

    steps = levels[:-1], levels[1:], jnp.arange(options.draws)
    return lax.scan(step, (first, jnp.zeros_like(first), jnp.inf), steps)[0][0]


def _step_size(level: jax.Array, next_level: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The ratio q of a step and ``-log q``, which is 0 in the last step, which is of first order."""
    (a, s), (next_a, next_s) = noise_schedule(level), noise_schedule(next_level)
    q = a * next_s / (next_a * s)
    return q, jnp.where(next_level > 0, -jnp.log(jnp.maximum(q, 1e-20)), 0.0)


def _lower_noise(
    z: jax.Array, z0: jax.Array, noise: jax.Array, level: jax.Array, next_level: jax.Array, q: jax.Array, eta: float
) -> jax.Array:
    """The noisy sample at the next level; see the formula of the module."""
    (_, s), (next_a, next_s) = noise_schedule(level), noise_schedule(next_level)
    kept, fresh = next_s / s * q**eta * z, next_s * jnp.sqrt(1 - q ** (2 * eta)) * noise
    return kept + next_a * (1 - q ** (1 + eta)) * z0 + fresh


GENERATORS.register(GeneratorEntry(DiffusionOptions, diffusion))
