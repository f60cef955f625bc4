"""A simulated recording device: gain, leads, sampling rate, wander, mains, muscle noise, R peak jitter."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.data.ecg.filters import FS
from bofl_jax.data.ecg.morphology import Waves, wave_sum

RATES_HZ = (125.0, 180.0, 200.0, 250.0, 360.0, 500.0)
MAX_RATE_HZ = max(RATES_HZ)
PEAK_JITTER_S = 0.005
BEFORE_S, SPAN_S = 0.45, 1.25
"""Seconds from the start of a beat's waves to its R peak, and from their start to their end."""
OVERLAP = 4
"""Beats whose waves can cover one sample; at the shortest RR a fifth beat would no longer be visible."""


class Device(NamedTuple):
    """The device of one patient; fields are scalars unless a shape is given."""

    rate: jax.Array  # Hz
    gain: jax.Array  # factor, negative if the electrodes are reversed
    lead_mix: jax.Array  # share of a second lead, at most 0.3
    wander: jax.Array  # mV
    wander_hz: jax.Array
    mains: jax.Array  # mV
    mains_hz: jax.Array
    muscle: jax.Array  # mV, standard deviation of white noise
    peak_jitter: jax.Array  # s, standard deviation of the annotated R peak
    phase: jax.Array  # [2], of wander and mains, in cycles


def draw_device(key: jax.Array, strength: jax.Array) -> Device:
    """Draw a device.

    Args:
        key: the patient's key for devices.
        strength: factor on every imperfection; at 0 all devices are alike, without noise, at 360 Hz.
    """
    uniform_key, gain_key = jax.random.split(key)
    draws = jax.random.uniform(uniform_key, (10,))  # one call, because each call adds compile time
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


def record_ecg(key: jax.Array, device: Device, clean: jax.Array, count: int) -> jax.Array:
    """Add the device's imperfections to a clean ECG, and resample it to 360 Hz.

    Args:
        key: the patient's key for noise.
        device: the patient's device.
        clean: float32[n], mV at the device's rate.
        count: number of samples to return.

    Returns:
        float32[count], mV at 360 Hz.
    """
    time = jnp.arange(len(clean)) / device.rate
    noise = device.muscle * jax.random.normal(key, clean.shape)
    wander = device.wander * sine(device.wander_hz, time, device.phase[0])
    mains = device.mains * sine(device.mains_hz, time, device.phase[1])
    return resample(device.gain * clean + noise + wander + mains, device.rate, count)


def clean_ecg(rate: jax.Array, waves: Waves, peaks: jax.Array, count: int) -> jax.Array:
    """Sum the waves of all beats on a sampling grid.

    Each beat is evaluated on its own segment of the grid; then every sample gathers the segments that cover it. A
    scatter of the segments would be shorter, but it has no fixed order of summation on a GPU.

    Args:
        rate: sampling rate in Hz.
        waves: waves of the B beats, ``[B, 8]``.
        peaks: float32[B], R peaks in s.
        count: number of samples.

    Returns:
        float32[count], mV.
    """
    length = int(MAX_RATE_HZ * SPAN_S)
    start = jnp.ceil((peaks - BEFORE_S) * rate).astype(jnp.int32)
    time = (start[:, None] + jnp.arange(length)) / rate - peaks[:, None]
    segments = jax.vmap(wave_sum)(waves, time)
    sample = jnp.arange(count)
    last = jnp.searchsorted(start, sample, side="right") - 1
    covering = [_segment_at(segments, start, sample, last - back) for back in range(OVERLAP)]
    return sum(covering[1:], start=covering[0])


def resample(signal: jax.Array, rate: jax.Array, count: int) -> jax.Array:
    """Resample to 360 Hz by cubic (Catmull-Rom) interpolation.

    Args:
        signal: float32[n].
        rate: sampling rate of the signal in Hz.
        count: number of samples to return.

    Returns:
        float32[count].
    """
    whole, part = _positions(rate, count)
    before, left, right, after = (signal[jnp.clip(whole + step, 0, len(signal) - 1)] for step in (-1, 0, 1, 2))
    slope = 0.5 * (right - before)
    square = before - 2.5 * left + 2 * right - 0.5 * after
    cube = 0.5 * (after - before) + 1.5 * (left - right)
    return left + part * (slope + part * (square + part * cube))


def _positions(rate: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Integer and fractional position of each 360 Hz sample on the device's grid, exact for integer rates."""
    product = jnp.arange(count) * jnp.round(rate).astype(jnp.int32)
    return product // int(FS), (product % int(FS)) / FS


def _segment_at(segments: jax.Array, start: jax.Array, sample: jax.Array, beat: jax.Array) -> jax.Array:
    existing = jnp.clip(beat, 0)
    offset = sample - start[existing]
    valid = (beat >= 0) & (offset < segments.shape[1])
    return jnp.where(valid, segments[existing, jnp.clip(offset, 0, segments.shape[1] - 1)], 0.0)


def sine(hz: jax.Array | float, time: jax.Array, phase: jax.Array) -> jax.Array:
    """A sine of unit amplitude.

    Args:
        hz: frequency.
        time: float32[...], s.
        phase: in cycles.
    """
    return jnp.sin(2 * jnp.pi * ((hz * time) % 1.0 + phase))
