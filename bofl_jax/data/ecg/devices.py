"""How one simulated device records a heart: gain, leads, rate, wander, mains, muscle noise, R peak jitter."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.data.ecg.filters import FS
from bofl_jax.data.ecg.morphology import Waves, wave_sum

RATES_HZ = (125.0, 180.0, 200.0, 250.0, 360.0, 500.0)
MAX_RATE_HZ = max(RATES_HZ)
PEAK_JITTER_S = 0.005
BEFORE_S, SPAN_S = 0.45, 1.25
"""A beat's waves begin this long before R and are over after this span."""
OVERLAP = 4
"""Beats whose pieces can cover one sample: at the shortest RR a fifth would have died away."""


class Device(NamedTuple):
    """One patient's recorder; fields are scalars unless a shape is given."""

    rate: jax.Array  # Hz
    gain: jax.Array  # factor, negative if the electrodes are swapped
    lead_mix: jax.Array  # share of a second lead, at most .3
    wander: jax.Array  # mV
    wander_hz: jax.Array
    mains: jax.Array  # mV
    mains_hz: jax.Array
    muscle: jax.Array  # mV, standard deviation of white noise
    peak_jitter: jax.Array  # s, standard deviation of the R peak's mark
    phase: jax.Array  # [2], of wander and mains, in cycles


def draw_device(key: jax.Array, strength: jax.Array) -> Device:
    """One device. ``strength`` scales every imperfection; at 0 all devices are one, clean, at 360 Hz."""
    uniform_key, gain_key = jax.random.split(key)
    draws = jax.random.uniform(uniform_key, (10,))  # one call, as every call costs compile time
    gain = jnp.exp(0.25 * strength * jax.random.normal(gain_key))
    rate = jnp.array(RATES_HZ)[(len(RATES_HZ) * draws[0]).astype(jnp.int32)]
    return Device(
        rate=jnp.where(strength > 0, rate, FS),
        gain=jnp.where(draws[1] < 0.05 * strength, -gain, gain),
        lead_mix=0.15 * draws[2] * strength,
        wander=(0.02 + 0.23 * draws[3]) * strength,
        wander_hz=0.15 + 0.35 * draws[4],
        mains=(0.005 + 0.045 * draws[5]) * strength,
        mains_hz=jnp.where(draws[6] < 0.5, 50.0, 60.0),
        muscle=(0.008 + 0.052 * draws[7]) * strength,
        peak_jitter=PEAK_JITTER_S * strength,
        phase=draws[8:],
    )


def record(key: jax.Array, device: Device, heart: jax.Array, count: int) -> jax.Array:
    """What the device makes of the heart's signal, brought to 360 Hz.

    Args:
        key: the patient's key for noise.
        device: its device.
        heart: float32[n], mV at the device's rate.
        count: samples wanted.

    Returns:
        float32[count], mV at 360 Hz.
    """
    time = jnp.arange(len(heart)) / device.rate
    noise = device.muscle * jax.random.normal(key, heart.shape)
    wander = device.wander * sine(device.wander_hz, time, device.phase[0])
    mains = device.mains * sine(device.mains_hz, time, device.phase[1])
    return resample(device.gain * heart + noise + wander + mains, device.rate, count)


def heart_signal(rate: jax.Array, waves: Waves, peaks: jax.Array, count: int) -> jax.Array:
    """float32[count], mV: the beats' waves added up at a sampling rate.

    Each beat is drawn once on its own piece of the sampling grid; then every sample gathers the pieces that cover it.
    (Adding the pieces in would be shorter, but such a scatter has no fixed order of summation on a GPU.)
    """
    length = int(MAX_RATE_HZ * SPAN_S)
    start = jnp.ceil((peaks - BEFORE_S) * rate).astype(jnp.int32)
    time = (start[:, None] + jnp.arange(length)) / rate - peaks[:, None]
    pieces = jax.vmap(wave_sum)(waves, time)
    sample = jnp.arange(count)
    last = jnp.searchsorted(start, sample, side="right") - 1
    covering = [_piece_at(pieces, start, sample, last - back) for back in range(OVERLAP)]
    return sum(covering[1:], start=covering[0])


def resample(signal: jax.Array, rate: jax.Array, count: int) -> jax.Array:
    """Cubic (Catmull-Rom) interpolation from ``rate`` to 360 Hz: float32[n] -> float32[count]."""
    whole, part = _positions(rate, count)
    before, here, after, beyond = (signal[jnp.clip(whole + step, 0, len(signal) - 1)] for step in (-1, 0, 1, 2))
    slope = 0.5 * (after - before)
    square = before - 2.5 * here + 2 * after - 0.5 * beyond
    cube = 0.5 * (beyond - before) + 1.5 * (here - after)
    return here + part * (slope + part * (square + part * cube))


def _positions(rate: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Whole and fractional place of each 360 Hz sample on the device's grid, exact for rates of whole Hz."""
    product = jnp.arange(count) * jnp.round(rate).astype(jnp.int32)
    return product // int(FS), (product % int(FS)) / FS


def _piece_at(pieces: jax.Array, start: jax.Array, sample: jax.Array, beat: jax.Array) -> jax.Array:
    inside = jnp.clip(beat, 0)
    place = sample - start[inside]
    valid = (beat >= 0) & (place < pieces.shape[1])
    return jnp.where(valid, pieces[inside, jnp.clip(place, 0, pieces.shape[1] - 1)], 0.0)


def sine(hz: jax.Array | float, time: jax.Array, phase: jax.Array) -> jax.Array:
    """A sine of unit amplitude; ``phase`` in cycles."""
    return jnp.sin(2 * jnp.pi * ((hz * time) % 1.0 + phase))
