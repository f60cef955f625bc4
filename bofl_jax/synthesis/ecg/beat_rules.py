"""Rules that turn the normal beats of a client into its S, V, F and Q beats.

A beat that comes ``pre`` s after the beat before it and ``post`` s before the next one is the sum of

- its own waves, by the rules of its class in `bofl_jax.data.ecg.morphology`: S has an inverted, hidden or small P, V is
  a wide beat without P and with a T of opposite polarity, F is ``l N + (1 - l) V``, Q is paced;
- the waves of its normal neighbours, at ``-pre`` and ``post``: the T wave before an early beat overlaps with it;
- the residual of the fitted normal beat, multiplied by the share of the normal beat, and noise.

The pacemaker of a client without paced beats is drawn once a call: the electrode does not move, so its beats are alike.
The RR inputs follow from the same intervals. All ranges come from DS1 patients, by eye, by quantiles and by scores,
except for the share of N in a fusion beat, which was measured on all records.
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
from bofl_jax.data.ecg.rhythm import MIN_RR_S
from bofl_jax.synthesis.base import SyntheticSamples
from bofl_jax.synthesis.ecg.beat_fit import RR_INPUTS, BeatVariation, FittedBeat, RrIntervals

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
COUPLING = {
    S: (0.45, 0.50, 0.62, 0.76, 0.85, 0.95, 1.00),
    V: (0.46, 0.55, 0.63, 0.71, 0.80, 0.96, 1.06),
    F: (0.82, 0.88, 0.92, 0.97, 1.00, 1.04, 1.06),
}
"""Quantiles of the coupling interval before an early beat, divided by the usual interval, outside runs. They are wider
than those of the simulator, as in recordings."""
RUN_PROBABILITY = {S: 0.3, V: 0.15}
"""Probability that an early beat belongs to a run of such beats."""
PAUSE_PROBABILITY = 0.92
"""Probability of a full compensatory pause after a V beat outside a run."""
MIN_PREMATURITY_SD = 1.5
"""An S beat is early by at least this many standard deviations of the client's own intervals: in atrial fibrillation,
less cannot be told from a normal beat."""
MAX_POST_RATIO = 1.2
"""Largest interval after an S beat, divided by the usual interval; the smallest is 1."""

NORMAL_SHARE = (0.35, 0.65)
"""Range of the share of the normal beat in a fusion beat."""
SIMULATOR_NORMAL_SHARE = (0.45, 0.75)
"""The same range in `morphology.beat_waves`, which takes draws in [0, 1]."""
P_END_S = -0.06
"""Time at which the P wave is over, in s from the R peak."""

FOCUS_SHARES = {V: (0.5, 0.25, 0.25), F: (0.8, 0.2, 0.0)}
"""Shares of ventricular beats that are upright, inverted, or have a small upright wave before a deep one. A fusion beat
of a normal beat and the last kind would look normal."""
#     first: height, width          second: height, centre, width               T: height, centre, width
FOCI = (
    ((0.6, 2.2), (0.016, 0.038), (-0.5, 0.9), (0.035, 0.070), (0.018, 0.035), (0.0, 0.6), (0.18, 0.29), (0.035, 0.070)),
    ((-1.4, -0.6), (0.016, 0.032), (-0.9, 0.2), (0.035, 0.070), (0.018, 0.035), (0.2, 0.8), (0.2, 0.3), (0.035, 0.070)),
    ((0.1, 0.9), (0.010, 0.022), (-0.8, -0.2), (0.030, 0.070), (0.020, 0.045), (0.2, 1.0), (0.2, 0.3), (0.035, 0.070)),
)
"""Ranges of the waves of each kind. Heights of QRS are relative to that of the client's N beats; the height of T is
relative to the higher of the two waves and opposite to the sign of their area. Times are in s."""

NOISE_TAPS = 9
NOISE_WIDTH = 1.5
"""Number of taps of the low-pass filter of the noise, and their standard deviation in time samples."""


class NormalBeats(NamedTuple):
    """The fitted N beats of a client."""

    beat: FittedBeat
    spread: BeatVariation
    intervals: RrIntervals
    height: jax.Array  # [], largest root mean square over beats at any time sample, in units of x


class BeatVariates(NamedTuple):
    """Random numbers of one beat. Those of all beats are drawn in one call, which saves compile time."""

    timing: jax.Array  # [5], uniform
    share: jax.Array  # [], uniform, sets the share of the normal beat in a fusion beat
    aberrant: jax.Array  # [], uniform, decides whether an S beat is conducted slowly
    p_kind: jax.Array  # [], uniform, chooses the P wave of an S beat
    focus: jax.Array  # [9], uniform
    rate: jax.Array  # [3], normal
    variation: jax.Array  # [rank], normal
    noise: jax.Array  # [T + 8], normal


class BeatTiming(NamedTuple):
    """The intervals around one beat, in s."""

    pre: jax.Array  # []
    post: jax.Array  # []
    local: jax.Array  # [], mean of the last 10 up to pre


def sample_by_rules(
    normal: NormalBeats, key: jax.Array, code: jax.Array, n: int, time: jax.Array, features: int
) -> SyntheticSamples:
    """Draw beats of a class.

    Args:
        normal: the client's N beats.
        key: random key.
        code: int[], code of the class in `bofl_jax.data.ecg.morphology`.
        n: number of beats.
        time: float32[T], s from the R peak.
        features: F, 7 or 4.
    """
    variate_key, paced_key = jax.random.split(key)
    variates = draw_variates(variate_key, n, len(normal.spread.amplitude), len(time))
    paced = draw_morphology(paced_key, jnp.float32(1), jnp.float32(0), normal.intervals.usual).paced
    paced = paced._replace(amplitude=normal.height / MEDIAN_GAIN * paced.amplitude)
    timing = jax.vmap(lambda one: draw_timing(normal.intervals, one, code))(variates)
    x = jax.vmap(lambda one, when: draw_beat(normal, paced, one, when, code, time))(variates, timing)
    return SyntheticSamples(x[:, :, None], rr_inputs(timing, normal.intervals.record, RR_INPUTS[features]))


def draw_variates(key: jax.Array, n: int, rank: int, window: int) -> BeatVariates:
    """Draw the random numbers of n beats.

    Args:
        key: random key.
        n: number of beats.
        rank: principal axes of the variation of N beats.
        window: T.

    Returns:
        Fields with a leading axis of length n.
    """
    uniform_key, normal_key = jax.random.split(key)
    uniform = jax.random.uniform(uniform_key, (n, 17))
    normal = jax.random.normal(normal_key, (n, 3 + rank + window + NOISE_TAPS - 1))
    timing, share, aberrant, p_kind, focus = jnp.split(uniform, [5, 6, 7, 8], axis=1)
    rate, variation, noise = jnp.split(normal, [3, 3 + rank], axis=1)
    return BeatVariates(timing, share[:, 0], aberrant[:, 0], p_kind[:, 0], focus, rate, variation, noise)


def draw_timing(intervals: RrIntervals, variates: BeatVariates, code: jax.Array) -> BeatTiming:
    """The intervals around one beat: an S, V or F beat is early, and a pause follows unless it is one of a run.

    Args:
        intervals: of the client's N beats.
        variates: random numbers of the beat.
        code: int[], code of the class.
    """
    slow, before, after = jnp.clip(variates.rate, -2.5, 2.5)
    early, pause, length, run, place = variates.timing
    usual = intervals.usual * jnp.exp(intervals.spread * slow)
    factors = [jnp.interp(early, jnp.array(QUANTILES), jnp.array(table)) for table in COUPLING.values()]
    factor = jnp.select([code == known for known in COUPLING], factors, 1 + intervals.jitter * before)
    factor = jnp.where(code == S, jnp.minimum(factor, 1 - MIN_PREMATURITY_SD * intervals.jitter), factor)
    after_v = jnp.where(pause < PAUSE_PROBABILITY, 2 - factor, 1.0)
    rest = jnp.select([code == V, code == S], [after_v, 1 + (MAX_POST_RATIO - 1) * length], 1.0)
    in_run = run < jnp.select([code == known for known in RUN_PROBABILITY], list(RUN_PROBABILITY.values()), 0.0)
    pre = jnp.maximum(usual * factor, MIN_RR_S)
    post = jnp.where(in_run, pre, usual * rest * (1 + intervals.jitter * after))
    short = jnp.where(in_run, jnp.ceil(rr.LOCAL_BEATS * place), 1)  # number of recent intervals as short as pre
    local = (short * pre + (rr.LOCAL_BEATS - short) * usual) / rr.LOCAL_BEATS
    return BeatTiming(pre, jnp.maximum(post, MIN_RR_S), local)


def rr_inputs(timing: BeatTiming, record: jax.Array | float, names: tuple[str, ...]) -> jax.Array:
    """Compute the inputs of `features.rr_features` from intervals.

    Args:
        timing: intervals in s, float32[n] each.
        record: mean interval of the record in s.
        names: names of the F inputs.

    Returns:
        float32[n, F].

    >>> inputs = rr_inputs(BeatTiming(*jnp.array([[0.6], [1.0], [0.8]])), 0.8, ("pre", "post", "local", "pre/local"))
    >>> [round(float(value), 3) for value in inputs[0]]
    [-0.8, 0.8, 0.0, -1.0]
    """
    seconds: dict[str, jax.Array] = timing._asdict()
    columns = {name: (s - rr.CENTRE_S) / rr.SCALE_S for name, s in seconds.items()}
    for below, of in (("local", timing.local), ("mean", record)):
        for above in ("pre", "post"):
            columns[f"{above}/{below}"] = (seconds[above] / of - rr.CENTRE_RATIO) / rr.SCALE_RATIO
    return jnp.clip(jnp.stack([columns[name] for name in names], axis=1), -rr.CLIP, rr.CLIP)


def draw_beat(
    normal: NormalBeats, paced: Waves, variates: BeatVariates, timing: BeatTiming, code: jax.Array, time: jax.Array
) -> jax.Array:
    """Draw the signal of one beat.

    Args:
        normal: the client's N beats.
        paced: waves of a paced beat.
        variates: random numbers of the beat.
        timing: intervals around it.
        code: int[], code of the class.
        time: float32[T], s from the R peak.

    Returns:
        float32[T], in units of x.
    """
    (usual, level, detail), spread = normal.beat, normal.spread
    conducted = usual._replace(amplitude=usual.amplitude + variates.variation @ spread.amplitude)
    share = NORMAL_SHARE[0] + (NORMAL_SHARE[1] - NORMAL_SHARE[0]) * variates.share
    low, high = SIMULATOR_NORMAL_SHARE
    simulated = BeatDraws((share - low) / (high - low), variates.aberrant, jnp.zeros(8))
    ectopic = draw_focus(variates.focus, jnp.where(code == F, jnp.array(FOCUS_SHARES[F]), jnp.array(FOCUS_SHARES[V])))
    ectopic = ectopic._replace(amplitude=normal.height * ectopic.amplitude)
    early_p = jnp.array(EARLY_P)[(len(EARLY_P) * variates.p_kind).astype(jnp.int32)]
    waves = beat_waves(simulated, Morphology(conducted, ectopic, paced, early_p), code, jnp.bool_(True))
    kept = jnp.select([(code == V) | (code == Q), code == F], [0.0, share], 1.0)
    p_kept = jnp.where((code == S) & (time < P_END_S), jnp.abs(early_p), 1.0)
    neighbours = wave_sum(usual, time + timing.pre) + wave_sum(usual, time - timing.post)
    noise = kept * (variates.variation @ spread.residual) + spread.floor * low_pass(variates.noise)
    return level + wave_sum(waves, time) + neighbours + kept * p_kept * detail + noise


def draw_focus(uniform: jax.Array, shares: jax.Array) -> Waves:
    """The three waves of a ventricular beat; heights are relative to that of the client's N beats.

    Args:
        uniform: float32[9], uniform random numbers.
        shares: float32[3], share of each kind in `FOCI`.
    """
    kind = jnp.sum(uniform[0] >= jnp.cumsum(shares)[:-1])
    low, high = jnp.array(FOCI)[kind].T
    first, width, second, centre, width_2, t, centre_t, width_t = low + (high - low) * uniform[1:]
    area = first * width + second * width_2
    t_height = -jnp.sign(area) * t * jnp.maximum(jnp.abs(first), jnp.abs(second))
    return Waves(
        amplitude=jnp.stack([first, second, t_height]),
        centre=jnp.stack([jnp.zeros(()), centre, centre_t]),
        width=jnp.stack([width, width_2, width_t]),
    )


def low_pass(noise: jax.Array) -> jax.Array:
    """Filter white noise by a Gaussian low-pass filter that keeps its variance: float32[T + 8] -> [T]."""
    taps = jnp.exp(-0.5 * ((jnp.arange(NOISE_TAPS) - NOISE_TAPS // 2) / NOISE_WIDTH) ** 2)
    return jnp.convolve(noise, taps / jnp.linalg.norm(taps), mode="valid")
