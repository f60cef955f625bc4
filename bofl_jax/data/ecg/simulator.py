"""The embedded ECG simulator: patients that differ in their beats, their rhythm and their recording device.

One patient is a pure function of a key, vmapped over patients. Patients are simulated in blocks of a fixed width, so
that patient p has the same bits for any number of patients. From the sampled signal on, the steps are those of real
recordings: baseline removal, low-pass, windows, scale and RR inputs.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field, field_validator

from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.types import Samples
from bofl_jax.data.ecg.aami import CLASSES
from bofl_jax.data.ecg.beats import EcgOptions, RecordBeats, concatenate_records, extract_beats
from bofl_jax.data.ecg.devices import MAX_RATE_HZ, clean_ecg, draw_device, record_ecg
from bofl_jax.data.ecg.filters import FS, condition
from bofl_jax.data.ecg.morphology import beat_waves, draw_beats, draw_morphology
from bofl_jax.data.ecg.rhythm import atrial_waves, draw_classes, draw_peaks, draw_rhythm, recording_seconds
from bofl_jax.data.registry import SOURCES, Source

PATIENT_BLOCK = 8
"""Patients that are simulated together."""

COMPILER_OPTIONS = {"xla_backend_optimization_level": 1}
"""Measured on 2 cores: compiles in 3.4 s instead of 9 s, and runs no slower."""

TAIL_S = 2.0
"""Seconds of recording after the last beat."""


class SimulatorOptions(EcgOptions):
    """Embedded simulator; it needs no files."""

    seeded = True
    source: Literal["simulator"] = "simulator"
    patients: int = Field(20, ge=1, le=10_000, description="simulated patients")
    beats: int = Field(300, ge=20, le=3000, description="beats a patient, before classes are dropped")
    diversity: float = Field(1.0, ge=0, le=2, description="spread of wave shapes between patients (0: all alike)")
    devices: float = Field(1.0, ge=0, le=2, description="strength of device differences (0: one clean device)")
    ectopy: float = Field(1.0, ge=0, le=3, description="factor on the rates of S, V and F beats")
    paced: float = Field(0.08, ge=0, le=1, description="probability that a patient has a pacemaker (class Q)")

    @field_validator("classes")
    @classmethod
    def _simulated(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in classes if name not in CLASSES]
        if unknown:
            raise ValueError(f"the simulator has no class {unknown[0]!r}: choose from {', '.join(CLASSES)}")
        return classes


class TracedOptions(NamedTuple):
    """The options that are arguments of the compiled program; see ``SimulatorOptions``."""

    diversity: jax.Array
    devices: jax.Array
    ectopy: jax.Array
    paced: jax.Array


class Recording(NamedTuple):
    """The raw recording of one patient."""

    signal: jax.Array  # float32[n], mV at 360 Hz; undefined beyond TAIL_S after the last peak
    peaks: jax.Array  # int32[B], annotated R peaks, as samples at 360 Hz
    codes: jax.Array  # int32[B], index into CLASSES


def traced_options(options: SimulatorOptions) -> TracedOptions:
    """The traced options as float32 scalars."""
    return TracedOptions(*(jnp.float32(getattr(options, name)) for name in TracedOptions._fields))


def simulate(options: SimulatorOptions, seed: int) -> Samples:
    """Simulate patients; the subjects are ``p000``, ``p001`` ...

    Args:
        options: number of patients and beats, and how much patients differ.
        seed: root seed. Patient p depends on the seed and on p alone.
    """
    records: list[RecordBeats] = []
    for first in range(0, options.patients, PATIENT_BLOCK):
        block = jax.device_get(_simulate_block(root_key(seed), first, traced_options(options), options.beats))
        for index in range(min(PATIENT_BLOCK, options.patients - first)):
            records.append(_to_beats(Recording(*(field[index] for field in block)), options))
    return concatenate_records(records, tuple(f"p{index:03d}" for index in range(options.patients)), options)


def simulate_patient(key: jax.Array, options: TracedOptions, beats: int) -> Recording:
    """Simulate the raw recording of one patient: rhythm, beats and recording device.

    Args:
        key: the patient's key.
        options: how much patients differ.
        beats: B, number of beats.
    """
    rhythm_key, class_key, peak_key, shape_key, beat_key, device_key, noise_key, mark_key = jax.random.split(key, 8)
    rhythm = draw_rhythm(rhythm_key, options.ectopy, options.paced)
    device = draw_device(device_key, options.devices)
    codes = draw_classes(class_key, rhythm, beats)
    peaks = draw_peaks(peak_key, rhythm, codes)
    morphology = draw_morphology(shape_key, options.diversity, device.lead_mix, rhythm.mean_rr)
    draws = draw_beats(beat_key, beats)
    waves = jax.vmap(beat_waves, in_axes=(0, None, 0, None))(draws, morphology, codes, ~rhythm.fibrillation)
    seconds = recording_seconds(beats)
    clean = clean_ecg(device.rate, waves, peaks, int(MAX_RATE_HZ * seconds))
    clean += atrial_waves(rhythm, jnp.arange(len(clean)) / device.rate)
    signal = record_ecg(noise_key, device, clean, int(FS * seconds))
    marks = peaks + device.peak_jitter * jax.random.normal(mark_key, peaks.shape)
    return Recording(signal, jnp.round(marks * FS).astype(jnp.int32), codes)


@partial(jax.jit, static_argnums=3, compiler_options=COMPILER_OPTIONS)
def _simulate_block(root: jax.Array, first: int, options: TracedOptions, beats: int) -> Recording:
    keys = jax.vmap(lambda patient: derive(root, Purpose.DATA, patient))(first + jnp.arange(PATIENT_BLOCK))
    return jax.vmap(simulate_patient, in_axes=(0, None, None))(keys, options, beats)


def _to_beats(recording: Recording, options: SimulatorOptions) -> RecordBeats:
    signal, peaks, codes = (np.asarray(field) for field in recording)
    end = int(peaks[-1]) + int(TAIL_S * FS)
    index = {CLASSES.index(name): label for label, name in enumerate(options.classes)}
    labels = np.array([index.get(code, -1) for code in range(len(CLASSES))])[codes]
    return extract_beats(condition(signal[:end].astype(np.float64), options.lowpass_hz), peaks, labels, options)


SOURCES.register(
    Source(SimulatorOptions, "simulated patients: ECG beats of classes N, S, V, F, Q; no files", load=simulate)
)
