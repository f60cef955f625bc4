"""Waves fitted to a client's mean normal beat, how its beats vary about it, and its RR intervals.

The mean N beat, in units of x, is a periodic sum of the waves P, Q, R, S, T and what it leaves over::

    m(t) = level + sum_w A_w sum_j exp(-(t - c_w - j * RR)^2 / 2 s_w^2) + detail(t),    j = -1, 0, 1

with t in s from the R peak and RR the client's usual interval: at 110 beats a minute the window of an R peak holds the
T wave before it and the P wave after it.

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
from bofl_jax.data.ecg.rhythm import SHORTEST_RR_S
from bofl_jax.synthesis.generators.gaussian import Moments

LAYOUTS = {len(names): names for names in (rr.FEATURE_NAMES, rr.CAUSAL_FEATURE_NAMES)}
"""Names of the RR inputs by their number."""

WAVES = len(CENTRE_S)
AMPLITUDES, CENTRES, WIDTHS = (slice(i * WAVES, (i + 1) * WAVES) for i in range(3))
"""Where they stand among the parameters of a fit, with the level last; centres and widths in steps from standard."""
LEVEL = 3 * WAVES
QRS_WIDTHS = slice(2 * WAVES + 1, 2 * WAVES + 4)

SHIFT_SD_S = (0.05, 0.015, 0.005, 0.015, 0.06)
"""A step of each centre: how far a client's waves may comfortably lie from where they are in the standard beat."""
WIDTH_SD = 0.35
"""A step of the logarithm of each width."""
HEIGHT_SD, LEVEL_SD = 5.0, 0.3
"""Comfortable amplitudes and levels, in units of x: large waves that cancel each other are no fit."""
TOLERANCE = 0.15
"""A distance between mean beat and fit, in units of x and at one time sample, that weighs as much as one step."""
STARTS = (1.0, 2.0, 3.0)
"""Factors on the width of QRS from which the fit starts; the best end is kept."""


class Beat(NamedTuple):
    """A fitted normal beat, in units of x."""

    waves: Waves  # [5], P Q R S T
    level: jax.Array  # []
    detail: jax.Array  # float32[T], the mean beat less the waves and the level


class Spread(NamedTuple):
    """How beats vary about the mean one: a standard normal ``z`` [rank] moves the waves and what is left."""

    amplitude: jax.Array  # float32[rank, 5], of the waves
    residual: jax.Array  # float32[rank, T]
    floor: jax.Array  # [], sd of the noise that no axis holds


class Intervals(NamedTuple):
    """A client's RR intervals around its N beats; fields are scalars."""

    usual: jax.Array  # s
    spread: jax.Array  # sd of the usual interval, over usual
    jitter: jax.Array  # sd of one interval, over usual
    record: jax.Array  # s, mean of the record, which the last RR inputs are relative to


def fit_beat(mean: jax.Array, time: jax.Array, interval: jax.Array, steps: int) -> Beat:
    """Fit the periodic sum of waves to a mean beat.

    Minimises ``sum_t (mean - m)^2 / TOLERANCE^2`` plus the squared steps of all centres and widths away from the
    standard beat, which keep P a P where there is none to see. Amplitudes start at their least squares.

    Args:
        mean: float32[T], in units of x.
        time: float32[T], s from the R peak.
        interval: float32[], s between neighbouring beats.
        steps: Levenberg-Marquardt steps from each start.
    """
    moved = jnp.sqrt(interval / REFERENCE_RR_S) ** jnp.array([1, 0, 0, 0, 1])
    standard = Waves(jnp.zeros(WAVES), jnp.asarray(CENTRE_S, jnp.float32) * moved, jnp.asarray(WIDTH_S, jnp.float32))

    def distances(theta: jax.Array) -> jax.Array:
        waves, level = _waves(theta, standard)
        missed = (mean - level - wave_train(waves, time, interval)) / TOLERANCE
        comfort = theta[AMPLITUDES] / HEIGHT_SD, theta[CENTRES], theta[WIDTHS], theta[LEVEL:] / LEVEL_SD
        return jnp.concatenate([missed, *comfort])

    def follow(factor: jax.Array) -> tuple[jax.Array, jax.Array]:
        theta = jnp.zeros(LEVEL + 1).at[QRS_WIDTHS].set(jnp.log(factor) / WIDTH_SD)
        slope = jax.jacfwd(distances)(theta).at[:, WAVES:LEVEL].set(0.0)
        theta += jnp.linalg.solve(slope.T @ slope + 1e-3 * jnp.eye(len(theta)), -slope.T @ distances(theta))
        return levenberg_marquardt(distances, theta, steps)

    ends, costs = jax.lax.map(follow, jnp.array(STARTS))
    waves, level = _waves(ends[jnp.argmin(costs)], standard)
    return Beat(waves, level, mean - level - wave_train(waves, time, interval))


def levenberg_marquardt(
    distances: Callable[[jax.Array], jax.Array], theta: jax.Array, steps: int
) -> tuple[jax.Array, jax.Array]:
    """Least squares by steps ``(J^T J + damp diag(J^T J)) d = -J^T r``; a step that makes it worse is not taken.

    Args:
        distances: parameters float32[P] -> r float32[M].
        theta: float32[P], where to start.
        steps: how many are tried.

    Returns:
        The parameters, and ``sum r^2``.

    >>> end, cost = levenberg_marquardt(lambda at: at**2 - jnp.array([4.0, 9.0]), jnp.ones(2), 30)
    >>> [round(float(value), 3) for value in end]
    [2.0, 3.0]
    """

    def step(state: Any, _: None) -> tuple[Any, None]:
        theta, cost, damp = state
        r, slope = distances(theta), jax.jacfwd(distances)(theta)
        normal = slope.T @ slope
        tried = theta - jnp.linalg.solve(normal + damp * jnp.diag(jnp.diag(normal)), slope.T @ r)
        reached = jnp.sum(distances(tried) ** 2)
        better = reached < cost
        state = jnp.where(better, tried, theta), jnp.where(better, reached, cost), damp * jnp.where(better, 0.3, 4.0)
        return state, None

    first = theta, jnp.sum(distances(theta) ** 2), jnp.float32(1e-2)
    (theta, cost, _), _ = jax.lax.scan(step, first, length=steps)
    return theta, cost


def wave_train(waves: Waves, time: jax.Array, interval: jax.Array) -> jax.Array:
    """A beat and its two neighbours at a steady interval in s: float32[T]."""
    return wave_sum(waves, time[:, None] + interval * jnp.array([-1, 0, 1])).sum(axis=1)


def split_spread(axes: jax.Array, variance: jax.Array, waves: Waves, time: jax.Array) -> Spread:
    """What of the variation of beats is that of their waves' amplitudes, and the rest.

    Args:
        axes: float32[rank, T], principal axes, scaled by their standard deviation.
        variance: float32[T], in all.
        waves: of the mean beat.
        time: float32[T], s.
    """
    shapes = jnp.exp(-0.5 * ((time - waves.centre[:, None]) / waves.width[:, None]) ** 2)  # [5, T]
    amplitude = jnp.linalg.solve(shapes @ shapes.T + 0.1 * jnp.eye(len(shapes)), shapes @ axes.T).T
    left = jnp.maximum(jnp.mean(variance - jnp.sum(axes**2, axis=0)), 0)
    return Spread(amplitude, axes - amplitude @ shapes, jnp.sqrt(left))


def normal_variance(moments: Moments) -> jax.Array:
    """float32[D]: of the entries of N beats as vectors."""
    share = jnp.maximum(moments.share[0], 1e-12)
    return jnp.maximum(jnp.diag(moments.second[0]) / share - (moments.first[0] / share) ** 2, 0)


def fit_intervals(moments: Moments, features: int) -> Intervals:
    """The RR intervals around N beats, read back from the means and variances of their F inputs."""
    means = moments.first[0, -features:] / jnp.maximum(moments.share[0], 1e-12)
    mean = dict(zip(LAYOUTS[features], means, strict=True))
    sd = dict(zip(LAYOUTS[features], jnp.sqrt(normal_variance(moments)[-features:]), strict=True))
    usual = jnp.maximum(rr.CENTRE_S + rr.SPREAD_S * mean["local"], SHORTEST_RR_S)
    before = rr.CENTRE_S + rr.SPREAD_S * mean["pre"]
    return Intervals(
        usual=usual,
        spread=rr.SPREAD_S * sd["local"] / usual,
        jitter=rr.SPREAD_RATIO * sd["pre/local"],
        record=jnp.maximum(before / (rr.CENTRE_RATIO + rr.SPREAD_RATIO * mean["pre/mean"]), SHORTEST_RR_S),
    )


def _waves(theta: jax.Array, standard: Waves) -> tuple[Waves, jax.Array]:
    centre = standard.centre + jnp.array(SHIFT_SD_S) * theta[CENTRES]
    return Waves(theta[AMPLITUDES], centre, standard.width * jnp.exp(WIDTH_SD * theta[WIDTHS])), theta[LEVEL]
