"""The embedded ECG simulator: made-up patients, each with its own heart, rhythm and device.

One patient is written as a pure function of its key and vmapped over patients. Patients are made in blocks of fixed
width, so that patient p has the same bits whatever their number. From the sampled signal on, the steps are those of
real recordings: baseline removal, low-pass, windows, scale and RR inputs.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.types import Samples
from bofl_jax.data.ecg.beats import RecordBeats, join_records, record_beats
from bofl_jax.data.ecg.devices import MAX_RATE_HZ, draw_device, heart_signal, record
from bofl_jax.data.ecg.filters import FS, condition
from bofl_jax.data.ecg.morphology import beat_waves, draw_beats, draw_morphology
from bofl_jax.data.ecg.records import CLASSES
from bofl_jax.data.ecg.rhythm import atrial_waves, draw_classes, draw_peaks, draw_rhythm, recording_seconds
from bofl_jax.data.options import SimulatorOptions

BLOCK = 8
"""Patients simulated together."""

QUICK_COMPILE = {"xla_backend_optimization_level": 1}
"""Measured on 2 cores: compiles in 3.4 s instead of 9 s, and runs no slower."""

TAIL_S = 2.0
"""Recording kept after the last beat."""


class Knobs(NamedTuple):
    """The options that the compiled program takes as numbers; see ``SimulatorOptions``."""

    diversity: jax.Array
    devices: jax.Array
    ectopy: jax.Array
    paced: jax.Array


class Recording(NamedTuple):
    """One patient's raw recording."""

    signal: jax.Array  # float32[n], mV at 360 Hz; meaningless beyond TAIL_S after the last peak
    peaks: jax.Array  # int32[B], marked R peaks, as samples at 360 Hz
    codes: jax.Array  # int32[B], index into CLASSES


def simulate(options: SimulatorOptions, seed: int) -> Samples:
    """Simulated patients as samples; subjects are ``p000``, ``p001`` ...

    Args:
        options: how many, how long, how different.
        seed: root seed. Patient p depends on it and on p alone.
    """
    knobs = Knobs(*(jnp.float32(getattr(options, name)) for name in Knobs._fields))
    records: list[RecordBeats] = []
    for first in range(0, options.patients, BLOCK):
        block = jax.device_get(_simulate_block(root_key(seed), first, knobs, options.beats))
        for index in range(min(BLOCK, options.patients - first)):
            records.append(_to_beats(Recording(*(field[index] for field in block)), options))
    return join_records(records, tuple(f"p{index:03d}" for index in range(options.patients)), options)


def simulate_patient(key: jax.Array, knobs: Knobs, beats: int) -> Recording:
    """The raw recording of one patient: its rhythm, its heart, and what its device makes of them.

    Args:
        key: the patient's key.
        knobs: strengths of the differences between patients.
        beats: how many.
    """
    rhythm_key, class_key, peak_key, shape_key, beat_key, device_key, noise_key, mark_key = jax.random.split(key, 8)
    rhythm = draw_rhythm(rhythm_key, knobs.ectopy, knobs.paced)
    device = draw_device(device_key, knobs.devices)
    codes = draw_classes(class_key, rhythm, beats)
    peaks = draw_peaks(peak_key, rhythm, codes)
    morphology = draw_morphology(shape_key, knobs.diversity, device.lead_mix, rhythm.mean_rr)
    draws = draw_beats(beat_key, beats)
    waves = jax.vmap(beat_waves, in_axes=(0, None, 0, None))(draws, morphology, codes, ~rhythm.fibrillation)
    seconds = recording_seconds(beats)
    heart = heart_signal(device.rate, waves, peaks, int(MAX_RATE_HZ * seconds))
    heart += atrial_waves(rhythm, jnp.arange(len(heart)) / device.rate)
    signal = record(noise_key, device, heart, int(FS * seconds))
    marks = peaks + device.peak_jitter * jax.random.normal(mark_key, peaks.shape)
    return Recording(signal, jnp.round(marks * FS).astype(jnp.int32), codes)


@partial(jax.jit, static_argnums=3, compiler_options=QUICK_COMPILE)
def _simulate_block(root: jax.Array, first: int, knobs: Knobs, beats: int) -> Recording:
    keys = jax.vmap(lambda patient: derive(root, Purpose.DATA, patient))(first + jnp.arange(BLOCK))
    return jax.vmap(simulate_patient, in_axes=(0, None, None))(keys, knobs, beats)


def _to_beats(recording: Recording, options: SimulatorOptions) -> RecordBeats:
    signal, peaks, codes = (np.asarray(field) for field in recording)
    end = int(peaks[-1]) + int(TAIL_S * FS)
    index = {CLASSES.index(name): place for place, name in enumerate(options.classes)}
    labels = np.array([index.get(code, -1) for code in range(len(CLASSES))])[codes]
    return record_beats(condition(signal[:end].astype(np.float64), options.lowpass_hz), peaks, labels, options)
