"""When the beats of one simulated patient come, and of which class they are.

Ectopic beats come early (a coupling interval, as a share of the patient's RR) and are followed by a pause. Everything
is elementwise in the beats, with no loop over them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.data.ecg.morphology import F, N, Q, S, V

FIBRILLATION = 0.12
"""Probability that a patient without a pacemaker is in atrial fibrillation."""
FIBRILLATION_SD = 0.18
"""Spread of log RR in fibrillation."""
ATRIAL_MV, ATRIAL_HZ = 0.06, 5.5
PACED_SD = 0.003
PACED_SHARE = 0.97
"""Share of a pacemaker patient's beats that the pacemaker starts."""

FULL_PAUSE = 0.8
"""Probability that the beat after a V comes where it would have come without it."""
S_RATE, V_RATE = (0.48, 4.9), (0.64, 4.7)
"""Shapes (a, b) of the Kumaraswamy laws of the S and V rates: close to Beta(.3, 6.5) and Beta(.5, 5.4)."""
MOST_ECTOPIC = 0.7
"""Upper limit on the share of ectopic beats."""

SHORTEST_RR_S, LONGEST_MEAN_RR_S = 0.28, 1.05
LEAD_IN_S = 1.5
"""Time of the first beat: every window fits before it."""


class Rhythm(NamedTuple):
    """One patient's rhythm; fields are scalars."""

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
    """One patient's rhythm: ``ectopy`` multiplies the rates of S, V, F; ``paced`` is the chance of a pacemaker."""
    draws = jax.random.uniform(key, (12,))  # one call, as every call costs compile time
    is_paced = draws[0] < paced
    p_s, p_v, p_f = _ectopic_rates(draws[6:], ectopy)
    return Rhythm(
        mean_rr=_scale(draws[1], 0.6, LONGEST_MEAN_RR_S),
        jitter=_scale(draws[2], 0.015, 0.05),
        breathing=_scale(draws[3], 0.005, 0.04),
        breathing_hz=_scale(draws[4], 0.2, 0.35),
        paced=is_paced,
        fibrillation=~is_paced & (draws[5] < FIBRILLATION),
        p_s=jnp.where(is_paced, 0.0, p_s),
        p_v=p_v,
        p_f=jnp.where(is_paced, 0.0, p_f),
    )


def draw_classes(key: jax.Array, rhythm: Rhythm, beats: int) -> jax.Array:
    """int32[beats]: class code of every beat. The first is never ectopic."""
    place, start = jax.random.uniform(key, (2, beats))
    place = place.at[0].set(1.0)
    edges = jnp.cumsum(jnp.stack([rhythm.p_s, rhythm.p_v, rhythm.p_f]))
    usual = jnp.where(rhythm.paced & (start < PACED_SHARE), Q, N)
    return jnp.select([place < edge for edge in edges], [S, V, F], usual).astype(jnp.int32)


def draw_peaks(key: jax.Array, rhythm: Rhythm, codes: jax.Array) -> jax.Array:
    """float32[beats]: times of the R peaks in s.

    Args:
        key: the patient's key for timing.
        rhythm: its rhythm.
        codes: int[beats], class codes.
    """
    sinus_key, early_key = jax.random.split(key)
    early, pause, length = jax.random.uniform(early_key, (3, len(codes)))
    factor = coupling(early, codes)
    before, factor_before = jnp.roll(codes, 1), jnp.roll(factor, 1)
    after_v = jnp.where(pause < FULL_PAUSE, 2 - factor_before, 1.0)
    after_s = _scale(length, 1.0, 1.2)
    after = jnp.select([before == V, before == S], [after_v, after_s], 1.0)
    on_time = (codes == N) | (codes == Q)
    rr = _sinus_rr(sinus_key, rhythm, len(codes)) * jnp.where(on_time, after, factor)
    return LEAD_IN_S + jnp.cumsum(jnp.maximum(rr, SHORTEST_RR_S).at[0].set(0.0))


def coupling(draws: jax.Array, codes: jax.Array) -> jax.Array:
    """How early a beat comes, as a share of the usual RR: S U(.58,.86), V U(.5,.8), F U(.85,1), others 1.

    ``draws`` is float32[beats], uniform in [0, 1); the result has the same shape.
    """
    low = jnp.select([codes == S, codes == V, codes == F], [0.58, 0.50, 0.85], 1.0)
    high = jnp.select([codes == S, codes == V, codes == F], [0.86, 0.80, 1.0], 1.0)
    return _scale(draws, low, high)


def atrial_waves(rhythm: Rhythm, time: jax.Array) -> jax.Array:
    """mV at each time in s: the small fast waves of fibrillating atria, nothing otherwise."""
    return jnp.where(rhythm.fibrillation, ATRIAL_MV, 0.0) * jnp.sin(2 * jnp.pi * ((ATRIAL_HZ * time) % 1.0))


def recording_seconds(beats: int) -> float:
    """A length that no patient's ``beats`` beats outlast, ends included."""
    return LEAD_IN_S + 1.12 * LONGEST_MEAN_RR_S * beats + 6.0


def _sinus_rr(key: jax.Array, rhythm: Rhythm, beats: int) -> jax.Array:
    """float32[beats]: RR without ectopic beats: breathing, a slow wave at .1 Hz of half its power, jitter."""
    noise_key, phase_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, (beats,))
    phase = jax.random.uniform(phase_key, (2,))
    time = rhythm.mean_rr * jnp.arange(beats)
    fast = jnp.sin(2 * jnp.pi * (rhythm.breathing_hz * time + phase[0]))
    slow = jnp.sin(2 * jnp.pi * (0.1 * time + phase[1])) / jnp.sqrt(2)
    sinus = rhythm.mean_rr + rhythm.breathing * (fast + slow) + rhythm.jitter * noise
    irregular = rhythm.mean_rr * jnp.exp(FIBRILLATION_SD * noise)
    steady = rhythm.mean_rr * (1 + PACED_SD * noise)
    return jnp.select([rhythm.paced, rhythm.fibrillation], [steady, irregular], sinus)


def _ectopic_rates(draws: jax.Array, ectopy: jax.Array) -> jax.Array:
    """float32[3], chances of S, V, F: few in most patients, many in some; .03, .06, .006 on average at ``ectopy`` 1."""
    has_s, has_v, has_f = draws[:3] < jnp.array([0.70, 0.75, 0.45])
    p_s = has_s * kumaraswamy(draws[3], *S_RATE)
    p_v = has_v * kumaraswamy(draws[4], *V_RATE)
    p_f = has_f * p_v * _scale(draws[5], 0.0, 0.4)
    rates = ectopy * jnp.stack([p_s, p_v, p_f])
    return rates * jnp.minimum(1.0, MOST_ECTOPIC / jnp.maximum(rates.sum(), MOST_ECTOPIC))


def kumaraswamy(draw: jax.Array, a: float, b: float) -> jax.Array:
    """Quantile ``(1 - (1 - u)^(1/b))^(1/a)`` of a Beta-like distribution; a true Beta compiles for seconds."""
    return (1 - (1 - draw) ** (1 / b)) ** (1 / a)


def _scale(draw: jax.Array, low: jax.Array | float, high: jax.Array | float) -> jax.Array:
    return low + (high - low) * draw
