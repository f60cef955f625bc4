"""The fit of waves to a client's mean normal beat, the variation of its beats, and its RR intervals.

The mean N beat, in units of x, is a periodic sum of the waves P, Q, R, S, T and a residual::

    m(t) = level + sum_w A_w sum_j exp(-(t - c_w - j * RR)^2 / 2 s_w^2) + detail(t),    j = -1, 0, 1

with t in s from the R peak and RR the client's usual interval. The sum is periodic because, at 110 beats a minute, the
window of an R peak contains the T wave before it and the P wave after it.

References:
    McSharry, Clifford, Tarassenko, Smith: A dynamical model for generating synthetic electrocardiogram signals.
    IEEE Transactions on Biomedical Engineering, 2003.
    Marquardt: An algorithm for least-squares estimation of nonlinear parameters. SIAM Journal, 1963.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.data.ecg import features as rr
from bofl_jax.data.ecg.morphology import CENTRE_S, REFERENCE_RR_S, WIDTH_S, Waves, wave_sum
from bofl_jax.data.ecg.rhythm import MIN_RR_S
from bofl_jax.synthesis.generators.gaussian import ClassMoments

RR_INPUTS = {len(names): names for names in (rr.FEATURE_NAMES, rr.CAUSAL_FEATURE_NAMES)}
"""Names of the RR inputs, by the number F of inputs."""

WAVES = len(CENTRE_S)
AMPLITUDES, CENTRES, WIDTHS = (slice(i * WAVES, (i + 1) * WAVES) for i in range(3))
"""Positions in the parameter vector of a fit. Centres and widths are in prior standard deviations from the standard
beat; the level is last."""
LEVEL = 3 * WAVES
QRS_WIDTHS = slice(2 * WAVES + 1, 2 * WAVES + 4)

SHIFT_SD_S = (0.05, 0.015, 0.005, 0.015, 0.06)
"""Prior standard deviation of each wave's centre about that of the standard beat."""
WIDTH_SD = 0.35
"""Prior standard deviation of the logarithm of each width."""
HEIGHT_SD, LEVEL_SD = 5.0, 0.3
"""Prior standard deviations of amplitudes and level, in units of x. They exclude large waves that cancel each other."""
RESIDUAL_SD = 0.15
"""Standard deviation of the residual at one time sample, in units of x."""
INITIAL_QRS_FACTORS = (1.0, 2.0, 3.0)
"""Factors on the width of QRS from which the fit starts; the fit with the lowest cost is kept."""


class FittedBeat(NamedTuple):
    """A fitted normal beat, in units of x."""

    waves: Waves  # [5], P Q R S T
    level: jax.Array  # []
    detail: jax.Array  # float32[T], residual: the mean beat minus the waves and the level


class BeatVariation(NamedTuple):
    """The variation of beats about the mean beat: a standard normal ``z`` [rank] changes amplitudes and residual."""

    amplitude: jax.Array  # float32[rank, 5], change of the waves' amplitudes
    residual: jax.Array  # float32[rank, T], change of the residual
    floor: jax.Array  # [], sd of the noise outside the principal axes


class RrIntervals(NamedTuple):
    """A client's RR intervals around its N beats."""

    usual: jax.Array  # [], local mean interval in s
    spread: jax.Array  # [], sd of the local mean, divided by usual
    jitter: jax.Array  # [], sd of one interval, divided by usual
    record: jax.Array  # [], mean interval of the record in s, to which the last RR inputs are relative


def fit_beat(mean: jax.Array, time: jax.Array, interval: jax.Array, steps: int) -> FittedBeat:
    """Fit the periodic sum of waves to a mean beat.

    Minimises ``sum_t (mean - m)^2 / RESIDUAL_SD^2`` plus the squared deviations of all parameters from the standard
    beat, in prior standard deviations. This prior keeps the P wave in its place where none is visible. Amplitudes start
    at their least-squares solution.

    Args:
        mean: float32[T], in units of x.
        time: float32[T], s from the R peak.
        interval: float32[], s between neighbouring beats.
        steps: Levenberg-Marquardt steps from each start.
    """
    scale = jnp.sqrt(interval / REFERENCE_RR_S) ** jnp.array([1, 0, 0, 0, 1])  # P and T move with the interval
    standard = Waves(jnp.zeros(WAVES), jnp.asarray(CENTRE_S, jnp.float32) * scale, jnp.asarray(WIDTH_S, jnp.float32))

    def residuals(theta: jax.Array) -> jax.Array:
        waves, level = _waves_of(theta, standard)
        data = (mean - level - wave_train(waves, time, interval)) / RESIDUAL_SD
        prior = theta[AMPLITUDES] / HEIGHT_SD, theta[CENTRES], theta[WIDTHS], theta[LEVEL:] / LEVEL_SD
        return jnp.concatenate([data, *prior])

    def solve_from(factor: jax.Array) -> tuple[jax.Array, jax.Array]:
        theta = jnp.zeros(LEVEL + 1).at[QRS_WIDTHS].set(jnp.log(factor) / WIDTH_SD)
        jacobian = jax.jacfwd(residuals)(theta).at[:, WAVES:LEVEL].set(0.0)
        theta += jnp.linalg.solve(jacobian.T @ jacobian + 1e-3 * jnp.eye(len(theta)), -jacobian.T @ residuals(theta))
        return levenberg_marquardt(residuals, theta, steps)

    solutions, costs = jax.lax.map(solve_from, jnp.array(INITIAL_QRS_FACTORS))
    waves, level = _waves_of(solutions[jnp.argmin(costs)], standard)
    return FittedBeat(waves, level, mean - level - wave_train(waves, time, interval))


def levenberg_marquardt(
    residuals: Callable[[jax.Array], jax.Array], theta: jax.Array, steps: int
) -> tuple[jax.Array, jax.Array]:
    """Minimise a sum of squares by steps ``(J^T J + damping diag(J^T J)) d = -J^T r``; worse steps are not taken.

    Args:
        residuals: parameters float32[P] -> r float32[M].
        theta: float32[P], initial parameters.
        steps: number of steps that are tried.

    Returns:
        The parameters float32[P], and the cost ``sum r^2``.

    >>> solution, cost = levenberg_marquardt(lambda at: at**2 - jnp.array([4.0, 9.0]), jnp.ones(2), 30)
    >>> [round(float(value), 3) for value in solution]
    [2.0, 3.0]
    """

    def step(state: Any, _: None) -> tuple[Any, None]:
        theta, cost, damping = state
        r, jacobian = residuals(theta), jax.jacfwd(residuals)(theta)
        normal = jacobian.T @ jacobian
        tried = theta - jnp.linalg.solve(normal + damping * jnp.diag(jnp.diag(normal)), jacobian.T @ r)
        new_cost = jnp.sum(residuals(tried) ** 2)
        better = new_cost < cost
        damping = damping * jnp.where(better, 0.3, 4.0)
        return (jnp.where(better, tried, theta), jnp.where(better, new_cost, cost), damping), None

    first = theta, jnp.sum(residuals(theta) ** 2), jnp.float32(1e-2)
    (theta, cost, _), _ = jax.lax.scan(step, first, length=steps)
    return theta, cost


def wave_train(waves: Waves, time: jax.Array, interval: jax.Array) -> jax.Array:
    """The waves of a beat and of its two neighbours at a constant interval.

    Args:
        waves: of the beat.
        time: float32[T], s from the R peak.
        interval: float32[], s.

    Returns:
        float32[T].
    """
    return wave_sum(waves, time[:, None] + interval * jnp.array([-1, 0, 1])).sum(axis=1)


def split_variation(axes: jax.Array, variance: jax.Array, waves: Waves, time: jax.Array) -> BeatVariation:
    """Split the variation of beats into that of the waves' amplitudes and the rest.

    Args:
        axes: float32[rank, T], principal axes, scaled by their standard deviation.
        variance: float32[T], total variance.
        waves: of the mean beat.
        time: float32[T], s from the R peak.
    """
    shapes = jnp.exp(-0.5 * ((time - waves.centre[:, None]) / waves.width[:, None]) ** 2)  # [5, T]
    amplitude = jnp.linalg.solve(shapes @ shapes.T + 0.1 * jnp.eye(len(shapes)), shapes @ axes.T).T
    remaining = jnp.maximum(jnp.mean(variance - jnp.sum(axes**2, axis=0)), 0)
    return BeatVariation(amplitude, axes - amplitude @ shapes, jnp.sqrt(remaining))


def normal_variance(moments: ClassMoments) -> jax.Array:
    """float32[D]: variance of each entry of the N beats as vectors."""
    share = jnp.maximum(moments.share[0], 1e-12)
    return jnp.maximum(jnp.diag(moments.second[0]) / share - (moments.first[0] / share) ** 2, 0)


def fit_intervals(moments: ClassMoments, features: int) -> RrIntervals:
    """Recover the RR intervals around N beats from the means and variances of their F inputs.

    Args:
        moments: of a client's beats.
        features: F.
    """
    means = moments.first[0, -features:] / jnp.maximum(moments.share[0], 1e-12)
    mean = dict(zip(RR_INPUTS[features], means, strict=True))
    sd = dict(zip(RR_INPUTS[features], jnp.sqrt(normal_variance(moments)[-features:]), strict=True))
    usual = jnp.maximum(rr.CENTRE_S + rr.SCALE_S * mean["local"], MIN_RR_S)
    before = rr.CENTRE_S + rr.SCALE_S * mean["pre"]
    return RrIntervals(
        usual=usual,
        spread=rr.SCALE_S * sd["local"] / usual,
        jitter=rr.SCALE_RATIO * sd["pre/local"],
        record=jnp.maximum(before / (rr.CENTRE_RATIO + rr.SCALE_RATIO * mean["pre/mean"]), MIN_RR_S),
    )


def _waves_of(theta: jax.Array, standard: Waves) -> tuple[Waves, jax.Array]:
    """The waves and the level of a parameter vector."""
    centre = standard.centre + jnp.array(SHIFT_SD_S) * theta[CENTRES]
    return Waves(theta[AMPLITUDES], centre, standard.width * jnp.exp(WIDTH_SD * theta[WIDTHS])), theta[LEVEL]
