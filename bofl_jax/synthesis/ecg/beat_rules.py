"""What the S, V, F and Q beats of a client would look like of whom only normal beats are known.

A beat that comes ``pre`` s after the one before it and ``post`` s before the next is the sum of

- its own waves, by the rules of its class in `bofl_jax.data.morphology`: S has its P inverted, hidden or small, V is a
  wide beat of its own with no P and a T against it, F is ``l N + (1 - l) V``, Q is paced;
- the waves of its normal neighbours, at ``-pre`` and ``post``: the T wave before an early beat runs into it;
- what the fit left over of the normal beat, as far as the beat comes from the atria, and noise.

The pacemaker of a client without paced beats is drawn once a call: its electrode stays where it is, and its beats are
alike. The RR inputs follow from the same intervals. All ranges come from DS1 patients, by eye, by quantiles and by
scores, but for the share of N in a fusion beat, which was measured on all records.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.data.ecg import features as rr
from bofl_jax.data.ecg.morphology import (
    EARLY_P,
    MEDIAN_GAIN,
    BeatDraws,
    F,
    Morphology,
    Q,
    S,
    V,
    Waves,
    beat_waves,
    draw_morphology,
    wave_sum,
)
from bofl_jax.data.ecg.rhythm import SHORTEST_RR_S
from bofl_jax.synthesis.base import Drawn
from bofl_jax.synthesis.ecg.beat_fit import LAYOUTS, Beat, Intervals, Spread

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
COUPLING = {
    S: (0.45, 0.50, 0.62, 0.76, 0.85, 0.95, 1.00),
    V: (0.46, 0.55, 0.63, 0.71, 0.80, 0.96, 1.06),
    F: (0.82, 0.88, 0.92, 0.97, 1.00, 1.04, 1.06),
}
"""Quantiles of the interval before an early beat over the usual one, outside runs: wider than the simulator's, as in
recordings."""
RUN = {S: 0.3, V: 0.15}
"""Probability that an early beat is one of a run of such beats."""
PAUSED = 0.92
"""Probability that the beat after a V outside a run comes where it would have come without it."""
EARLIER = 1.5
"""An S beat comes earlier than usual by at least so many standard deviations of the client's own intervals: in atrial
fibrillation nothing less is told from a normal beat."""
LATEST_S = 1.2
"""The interval after an S beat is between the usual one and this many of it."""

FROM_ATRIA = (0.35, 0.65)
"""Share of the normal beat in a fusion beat."""
SIMULATED_FROM_ATRIA = (0.45, 0.75)
"""What `morphology.beat_waves` makes of draws in [0, 1]."""
P_ENDS_S = -0.06

FOCUS_SHARES = {V: (0.5, 0.25, 0.25), F: (0.8, 0.2, 0.0)}
"""How often a ventricular beat is upright, inverted, or a small upright wave before a deep one. A normal beat and the
last of these make no fusion beat that anybody would tell from a normal one."""
#     first: height, width          second: height, centre, width               T: height, centre, width
FOCI = (
    ((0.6, 2.2), (0.016, 0.038), (-0.5, 0.9), (0.035, 0.070), (0.018, 0.035), (0.0, 0.6), (0.18, 0.29), (0.035, 0.070)),
    ((-1.4, -0.6), (0.016, 0.032), (-0.9, 0.2), (0.035, 0.070), (0.018, 0.035), (0.2, 0.8), (0.2, 0.3), (0.035, 0.070)),
    ((0.1, 0.9), (0.010, 0.022), (-0.8, -0.2), (0.030, 0.070), (0.020, 0.045), (0.2, 1.0), (0.2, 0.3), (0.035, 0.070)),
)
"""Ranges of the waves: heights of QRS over that of the client's N beats, of T over the higher of the two and against
the area of both; times in s."""

NOISE_TAPS = 9
NOISE_WIDTH = 1.5
"""Taps and their standard deviation, in time samples: neighbouring values of low-passed noise are alike."""


class Normal(NamedTuple):
    """What is known of a client's N beats."""

    beat: Beat
    spread: Spread
    intervals: Intervals
    height: jax.Array  # [], largest root mean square over beats at any time, in units of x


class Draws(NamedTuple):
    """The randomness of one beat. All beats' are drawn at once, as every call costs compile time."""

    timing: jax.Array  # [5], uniform
    share: jax.Array  # [], uniform: of the normal beat in a fusion beat
    aberrant: jax.Array  # [], uniform: whether an S beat is conducted slowly
    p_kind: jax.Array  # [], uniform: of the P wave of an S beat
    focus: jax.Array  # [9], uniform
    rate: jax.Array  # [3], normal
    vary: jax.Array  # [rank], normal
    noise: jax.Array  # [T + 8], normal


class Timing(NamedTuple):
    """The intervals around one beat, in s."""

    pre: jax.Array  # []
    post: jax.Array  # []
    local: jax.Array  # [], mean of the last 10 up to pre


def draw_by_rules(normal: Normal, key: jax.Array, code: jax.Array, n: int, time: jax.Array, features: int) -> Drawn:
    """n beats of a class.

    Args:
        normal: the client's N beats.
        key: of the draw.
        code: int[], of the class, as in `bofl_jax.data.morphology`.
        n: how many.
        time: float32[T], s from the R peak.
        features: F, 7 or 4.
    """
    draw_key, paced_key = jax.random.split(key)
    draws = draw_randomness(draw_key, n, len(normal.spread.amplitude), len(time))
    paced = draw_morphology(paced_key, jnp.float32(1), jnp.float32(0), normal.intervals.usual).paced
    paced = paced._replace(amplitude=normal.height / MEDIAN_GAIN * paced.amplitude)
    timing = jax.vmap(lambda one: draw_timing(normal.intervals, one, code))(draws)
    x = jax.vmap(lambda one, when: draw_beat(normal, paced, one, when, code, time))(draws, timing)
    return Drawn(x[:, :, None], rr_inputs(timing, normal.intervals.record, LAYOUTS[features]))


def draw_randomness(key: jax.Array, n: int, rank: int, window: int) -> Draws:
    """That of n beats: fields with a leading axis of n."""
    uniform_key, normal_key = jax.random.split(key)
    uniform = jax.random.uniform(uniform_key, (n, 17))
    normal = jax.random.normal(normal_key, (n, 3 + rank + window + NOISE_TAPS - 1))
    timing, share, aberrant, p_kind, focus = jnp.split(uniform, [5, 6, 7, 8], axis=1)
    rate, vary, noise = jnp.split(normal, [3, 3 + rank], axis=1)
    return Draws(timing, share[:, 0], aberrant[:, 0], p_kind[:, 0], focus, rate, vary, noise)


def draw_timing(intervals: Intervals, draws: Draws, code: jax.Array) -> Timing:
    """When one beat of a class and its neighbours come: it is early, and a pause follows, unless it is one of a run."""
    slow, before, after = jnp.clip(draws.rate, -2.5, 2.5)
    early, pause, length, run, place = draws.timing
    usual = intervals.usual * jnp.exp(intervals.spread * slow)
    factors = [jnp.interp(early, jnp.array(QUANTILES), jnp.array(table)) for table in COUPLING.values()]
    factor = jnp.select([code == known for known in COUPLING], factors, 1 + intervals.jitter * before)
    factor = jnp.where(code == S, jnp.minimum(factor, 1 - EARLIER * intervals.jitter), factor)
    after_v = jnp.where(pause < PAUSED, 2 - factor, 1.0)
    rest = jnp.select([code == V, code == S], [after_v, 1 + (LATEST_S - 1) * length], 1.0)
    in_run = run < jnp.select([code == known for known in RUN], list(RUN.values()), 0.0)
    pre = jnp.maximum(usual * factor, SHORTEST_RR_S)
    post = jnp.where(in_run, pre, usual * rest * (1 + intervals.jitter * after))
    short = jnp.where(in_run, jnp.ceil(rr.LOCAL_BEATS * place), 1)  # how many of the last intervals were as pre
    local = (short * pre + (rr.LOCAL_BEATS - short) * usual) / rr.LOCAL_BEATS
    return Timing(pre, jnp.maximum(post, SHORTEST_RR_S), local)


def rr_inputs(timing: Timing, record: jax.Array | float, names: tuple[str, ...]) -> jax.Array:
    """The inputs of `features.rr_features` from intervals in s, float32[n] each, and the mean of the record in s.

    >>> inputs = rr_inputs(Timing(*jnp.array([[0.6], [1.0], [0.8]])), 0.8, ("pre", "post", "local", "pre/local"))
    >>> [round(float(value), 3) for value in inputs[0]]
    [-0.8, 0.8, 0.0, -1.0]
    """
    seconds: dict[str, jax.Array] = timing._asdict()
    columns = {name: (s - rr.CENTRE_S) / rr.SPREAD_S for name, s in seconds.items()}
    for below, of in (("local", timing.local), ("mean", record)):
        for above in ("pre", "post"):
            columns[f"{above}/{below}"] = (seconds[above] / of - rr.CENTRE_RATIO) / rr.SPREAD_RATIO
    return jnp.clip(jnp.stack([columns[name] for name in names], axis=1), -rr.CLIP, rr.CLIP)


def draw_beat(
    normal: Normal, paced: Waves, draws: Draws, timing: Timing, code: jax.Array, time: jax.Array
) -> jax.Array:
    """One beat of a class: float32[T], in units of x."""
    (usual, level, detail), spread = normal.beat, normal.spread
    varied = usual._replace(amplitude=usual.amplitude + draws.vary @ spread.amplitude)
    share = FROM_ATRIA[0] + (FROM_ATRIA[1] - FROM_ATRIA[0]) * draws.share
    low, high = SIMULATED_FROM_ATRIA
    simulated = BeatDraws((share - low) / (high - low), draws.aberrant, jnp.zeros(8))
    ectopic = draw_focus(draws.focus, jnp.where(code == F, jnp.array(FOCUS_SHARES[F]), jnp.array(FOCUS_SHARES[V])))
    ectopic = ectopic._replace(amplitude=normal.height * ectopic.amplitude)
    early_p = jnp.array(EARLY_P)[(len(EARLY_P) * draws.p_kind).astype(jnp.int32)]
    waves = beat_waves(simulated, Morphology(varied, ectopic, paced, early_p), code, jnp.bool_(True))
    kept = jnp.select([(code == V) | (code == Q), code == F], [0.0, share], 1.0)
    p_kept = jnp.where((code == S) & (time < P_ENDS_S), jnp.abs(early_p), 1.0)
    neighbours = wave_sum(usual, time + timing.pre) + wave_sum(usual, time - timing.post)
    noise = kept * (draws.vary @ spread.residual) + spread.floor * smooth(draws.noise)
    return level + wave_sum(waves, time) + neighbours + kept * p_kept * detail + noise


def draw_focus(draws: jax.Array, shares: jax.Array) -> Waves:
    """The three waves of a ventricular beat; heights are over that of the client's N beats.

    Args:
        draws: float32[9], uniform.
        shares: float32[3], how often each kind comes.
    """
    kind = jnp.sum(draws[0] >= jnp.cumsum(shares)[:-1])
    low, high = jnp.array(FOCI)[kind].T
    first, width, second, centre, width_2, t, centre_t, width_t = low + (high - low) * draws[1:]
    area = first * width + second * width_2
    t_height = -jnp.sign(area) * t * jnp.maximum(jnp.abs(first), jnp.abs(second))
    return Waves(
        amplitude=jnp.stack([first, second, t_height]),
        centre=jnp.stack([jnp.zeros(()), centre, centre_t]),
        width=jnp.stack([width, width_2, width_t]),
    )


def smooth(white: jax.Array) -> jax.Array:
    """White noise through a Gaussian low-pass of ``NOISE_TAPS`` taps that keeps its variance: float32[T + 8] -> [T]."""
    taps = jnp.exp(-0.5 * ((jnp.arange(NOISE_TAPS) - NOISE_TAPS // 2) / NOISE_WIDTH) ** 2)
    return jnp.convolve(white, taps / jnp.linalg.norm(taps), mode="valid")
