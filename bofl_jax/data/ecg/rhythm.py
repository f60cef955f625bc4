"""Times and classes of the beats of one simulated patient.

Ectopic beats come early (a coupling interval, as a share of the patient's RR) and are followed by a pause. All
operations are elementwise over the beats, without a loop.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.data.ecg.morphology import F, N, Q, S, V

FIBRILLATION = 0.12
"""Probability that a patient without a pacemaker is in atrial fibrillation."""
FIBRILLATION_SD = 0.18
"""Standard deviation of log RR in fibrillation."""
ATRIAL_MV, ATRIAL_HZ = 0.06, 5.5
PACED_SD = 0.003
PACED_SHARE = 0.97
"""Share of a pacemaker patient's beats that the pacemaker triggers."""

FULL_PAUSE = 0.8
"""Probability of a fully compensatory pause after a V: the next beat comes when it would have come without the V."""
S_RATE, V_RATE = (0.48, 4.9), (0.64, 4.7)
"""Parameters of the Kumaraswamy distributions of the S and V rates, close to Beta(0.3, 6.5) and Beta(0.5, 5.4)."""
MAX_ECTOPIC_SHARE = 0.7
"""Upper limit on the share of ectopic beats."""

MIN_RR_S, MAX_MEAN_RR_S = 0.28, 1.05
FIRST_BEAT_S = 1.5
"""Time of the first beat; its widest window fits into the recording."""


class Rhythm(NamedTuple):
    """The rhythm of one patient; fields are scalars."""

    mean_rr: jax.Array  # s
    jitter: jax.Array  # s, standard deviation from beat to beat
    breathing: jax.Array  # s, amplitude of the respiratory wave of RR
    breathing_hz: jax.Array
    paced: jax.Array  # bool
    fibrillation: jax.Array  # bool
    p_s: jax.Array  # probability that a beat is of class S
    p_v: jax.Array
    p_f: jax.Array


def draw_rhythm(key: jax.Array, ectopy: jax.Array, paced: jax.Array) -> Rhythm:
    """Draw the rhythm of one patient.

    Args:
        key: the patient's key for rhythm.
        ectopy: factor on the rates of S, V and F beats.
        paced: probability of a pacemaker.
    """
    draws = jax.random.uniform(key, (12,))  # one call, because each call adds compile time
    is_paced = draws[0] < paced
    p_s, p_v, p_f = _ectopic_rates(draws[6:], ectopy)
    return Rhythm(
        mean_rr=_to_range(draws[1], 0.6, MAX_MEAN_RR_S),
        jitter=_to_range(draws[2], 0.015, 0.05),
        breathing=_to_range(draws[3], 0.005, 0.04),
        breathing_hz=_to_range(draws[4], 0.2, 0.35),
        paced=is_paced,
        fibrillation=~is_paced & (draws[5] < FIBRILLATION),
        p_s=jnp.where(is_paced, 0.0, p_s),
        p_v=p_v,
        p_f=jnp.where(is_paced, 0.0, p_f),
    )


def draw_classes(key: jax.Array, rhythm: Rhythm, beats: int) -> jax.Array:
    """Draw the class code of every beat; the first beat is never ectopic.

    Args:
        key: the patient's key for classes.
        rhythm: the patient's rhythm.
        beats: B, number of beats.

    Returns:
        int32[B].
    """
    position, trigger = jax.random.uniform(key, (2, beats))
    position = position.at[0].set(1.0)
    edges = jnp.cumsum(jnp.stack([rhythm.p_s, rhythm.p_v, rhythm.p_f]))
    default = jnp.where(rhythm.paced & (trigger < PACED_SHARE), Q, N)
    return jnp.select([position < edge for edge in edges], [S, V, F], default).astype(jnp.int32)


def draw_peaks(key: jax.Array, rhythm: Rhythm, codes: jax.Array) -> jax.Array:
    """Draw the times of the R peaks.

    Args:
        key: the patient's key for timing.
        rhythm: the patient's rhythm.
        codes: int[B], class codes.

    Returns:
        float32[B], s.
    """
    sinus_key, early_key = jax.random.split(key)
    early, pause, length = jax.random.uniform(early_key, (3, len(codes)))
    factor = coupling_ratio(early, codes)
    before, factor_before = jnp.roll(codes, 1), jnp.roll(factor, 1)
    after_v = jnp.where(pause < FULL_PAUSE, 2 - factor_before, 1.0)
    after_s = _to_range(length, 1.0, 1.2)
    after = jnp.select([before == V, before == S], [after_v, after_s], 1.0)
    on_time = (codes == N) | (codes == Q)
    rr = _sinus_rr(sinus_key, rhythm, len(codes)) * jnp.where(on_time, after, factor)
    return FIRST_BEAT_S + jnp.cumsum(jnp.maximum(rr, MIN_RR_S).at[0].set(0.0))


def coupling_ratio(draws: jax.Array, codes: jax.Array) -> jax.Array:
    """The interval before each beat as a share of the regular RR: S U(.58, .86), V U(.5, .8), F U(.85, 1), others 1.

    Args:
        draws: float32[B], uniform in [0, 1).
        codes: int[B], class codes.

    Returns:
        float32[B].
    """
    low = jnp.select([codes == S, codes == V, codes == F], [0.58, 0.50, 0.85], 1.0)
    high = jnp.select([codes == S, codes == V, codes == F], [0.86, 0.80, 1.0], 1.0)
    return _to_range(draws, low, high)


def atrial_waves(rhythm: Rhythm, time: jax.Array) -> jax.Array:
    """The small fast waves of fibrillating atria; 0 for other patients.

    Args:
        rhythm: the patient's rhythm.
        time: float32[n], s.

    Returns:
        float32[n], mV.
    """
    return jnp.where(rhythm.fibrillation, ATRIAL_MV, 0.0) * jnp.sin(2 * jnp.pi * ((ATRIAL_HZ * time) % 1.0))


def recording_seconds(beats: int) -> float:
    """A length in s that suffices for ``beats`` beats of every patient, ends included."""
    return FIRST_BEAT_S + 1.12 * MAX_MEAN_RR_S * beats + 6.0


def _sinus_rr(key: jax.Array, rhythm: Rhythm, beats: int) -> jax.Array:
    """float32[B]: RR without ectopic beats: respiration, a slow wave at 0.1 Hz of half its power, and jitter."""
    noise_key, phase_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, (beats,))
    phase = jax.random.uniform(phase_key, (2,))
    time = rhythm.mean_rr * jnp.arange(beats)
    fast = jnp.sin(2 * jnp.pi * (rhythm.breathing_hz * time + phase[0]))
    slow = jnp.sin(2 * jnp.pi * (0.1 * time + phase[1])) / jnp.sqrt(2)
    sinus = rhythm.mean_rr + rhythm.breathing * (fast + slow) + rhythm.jitter * noise
    irregular = rhythm.mean_rr * jnp.exp(FIBRILLATION_SD * noise)
    regular = rhythm.mean_rr * (1 + PACED_SD * noise)
    return jnp.select([rhythm.paced, rhythm.fibrillation], [regular, irregular], sinus)


def _ectopic_rates(draws: jax.Array, ectopy: jax.Array) -> jax.Array:
    """float32[3]: probabilities of S, V, F, low in most patients; their means are 0.03, 0.06, 0.006 at ``ectopy`` 1."""
    has_s, has_v, has_f = draws[:3] < jnp.array([0.70, 0.75, 0.45])
    p_s = has_s * kumaraswamy_quantile(draws[3], *S_RATE)
    p_v = has_v * kumaraswamy_quantile(draws[4], *V_RATE)
    p_f = has_f * p_v * _to_range(draws[5], 0.0, 0.4)
    rates = ectopy * jnp.stack([p_s, p_v, p_f])
    return rates * jnp.minimum(1.0, MAX_ECTOPIC_SHARE / jnp.maximum(rates.sum(), MAX_ECTOPIC_SHARE))


def kumaraswamy_quantile(draw: jax.Array, a: float, b: float) -> jax.Array:
    """The quantile ``(1 - (1 - u)^(1/b))^(1/a)`` of the Kumaraswamy distribution.

    It resembles the Beta distribution, whose quantile would take seconds to compile.

    Args:
        draw: u, uniform in [0, 1).
        a: first shape parameter.
        b: second shape parameter.
    """
    return (1 - (1 - draw) ** (1 / b)) ** (1 / a)


def _to_range(draw: jax.Array, low: jax.Array | float, high: jax.Array | float) -> jax.Array:
    return low + (high - low) * draw
