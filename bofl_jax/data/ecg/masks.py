"""True positions of the P wave and the QRS complex in simulated beats, as a reference for explanations.

The simulator returns the recording and the annotated R peaks, not the waves. The waves of a patient are a pure function
of its key and are drawn again here. Real recordings have no such masks.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.data.ecg.aami import CLASSES
from bofl_jax.data.ecg.devices import draw_device
from bofl_jax.data.ecg.filters import FS
from bofl_jax.data.ecg.morphology import Q, Waves, beat_waves, draw_beats, draw_morphology
from bofl_jax.data.ecg.rhythm import draw_peaks, draw_rhythm
from bofl_jax.data.ecg.simulator import (
    COMPILER_OPTIONS,
    PATIENT_BLOCK,
    SimulatorOptions,
    TracedOptions,
    simulate_patient,
    traced_options,
)

EXTENT = 2.0
"""Standard deviations that a wave reaches to each side; beyond them is 0.5 % of its energy, erfc(2)."""

P_WAVE = np.array([True, False, False, False, False, False, False, False])
"""The P wave among the eight waves of ``morphology.beat_waves``, for a beat that no pacemaker started."""
QRS = np.array([False, True, True, True, False, True, True, False])
"""The QRS complex of such a beat."""
PACED_QRS = np.array([False, True, True, False, False, True, True, False])
"""The QRS complex of a paced beat, whose wave 0 is the spike of the pacemaker."""


class WaveMasks(NamedTuple):
    """Positions of the waves of each window's beat; waves of neighbouring beats are not marked."""

    p: np.ndarray  # bool[N, T], all false if the beat has no P wave
    qrs: np.ndarray  # bool[N, T]


class SimulatedBeats(NamedTuple):
    """The beats of one patient, as the simulator draws them."""

    waves: Waves  # [B, 8]
    peaks: jax.Array  # float32[B], s, the true R peaks
    marks: jax.Array  # int32[B], the annotated R peaks, as samples at 360 Hz
    codes: jax.Array  # int32[B], index into CLASSES


def wave_masks(options: SimulatorOptions, seed: int) -> WaveMasks:
    """Compute the true masks of P and QRS for the windows of ``simulate(options, seed)``, in the same order.

    A wave is marked from 2 standard deviations before its centre to 2 after it, and QRS from the start of its first
    wave to the end of its last. Masks follow the true R peak and windows follow the annotated one, so that a mask may
    be shifted from the middle of its window.

    Args:
        options: the options of the simulated samples.
        seed: the seed of the simulated samples.

    >>> masks = wave_masks(SimulatorOptions(patients=1, beats=20, ectopy=0, paced=0), seed=0)
    >>> masks.qrs.shape, int(masks.qrs[:, 64].sum())
    ((20, 128), 20)
    """
    masks = [_to_masks(beats, options) for beats in simulated_beats(options, seed)]
    return WaveMasks(
        np.concatenate([patient.p for patient in masks]), np.concatenate([patient.qrs for patient in masks])
    )


def simulated_beats(options: SimulatorOptions, seed: int) -> list[SimulatedBeats]:
    """The beats of every patient of ``simulate(options, seed)``, including beats of classes that are dropped."""
    patients: list[SimulatedBeats] = []
    for first in range(0, options.patients, PATIENT_BLOCK):
        block = jax.device_get(_beats_of_block(root_key(seed), first, traced_options(options), options.beats))
        for index in range(min(PATIENT_BLOCK, options.patients - first)):
            patients.append(jax.tree.map(lambda leaf, i=index: leaf[i], block))
    return patients


def patient_beats(key: jax.Array, options: TracedOptions, beats: int) -> SimulatedBeats:
    """Repeat the draws of ``simulator.simulate_patient`` from the same keys, and return the beats of the patient.

    Args:
        key: the patient's key.
        options: how much patients differ.
        beats: B, number of beats.
    """
    recording = simulate_patient(key, options, beats)
    rhythm_key, _, peak_key, shape_key, beat_key, device_key, _, _ = jax.random.split(key, 8)
    rhythm = draw_rhythm(rhythm_key, options.ectopy, options.paced)
    lead_mix = draw_device(device_key, options.devices).lead_mix
    morphology = draw_morphology(shape_key, options.diversity, lead_mix, rhythm.mean_rr)
    draws, has_p = draw_beats(beat_key, beats), ~rhythm.fibrillation
    waves = jax.vmap(beat_waves, in_axes=(0, None, 0, None))(draws, morphology, recording.codes, has_p)
    return SimulatedBeats(waves, draw_peaks(peak_key, rhythm, recording.codes), recording.peaks, recording.codes)


@partial(jax.jit, static_argnums=3, compiler_options=COMPILER_OPTIONS)
def _beats_of_block(root: jax.Array, first: int, options: TracedOptions, beats: int) -> SimulatedBeats:
    keys = jax.vmap(lambda patient: derive(root, Purpose.DATA, patient))(first + jnp.arange(PATIENT_BLOCK))
    return jax.vmap(patient_beats, in_axes=(0, None, None))(keys, options, beats)


def _to_masks(beats: SimulatedBeats, options: SimulatorOptions) -> WaveMasks:
    """The masks of one patient's beats of the chosen classes. The first beat is so late that all windows fit."""
    chosen = np.isin(beats.codes, [CLASSES.index(name) for name in options.classes])
    waves, peaks, marks, codes = jax.tree.map(lambda leaf: leaf[chosen], tuple(beats))
    offsets = np.arange(-options.half_window, options.half_window, options.decimate)
    time = (marks[:, None] + offsets) / FS - peaks[:, None].astype(np.float64)
    paced = (codes == Q)[:, None]
    return WaveMasks(
        p=_between_ends(waves, P_WAVE & ~paced, time),
        qrs=_between_ends(waves, np.where(paced, PACED_QRS, QRS), time),
    )


def _between_ends(waves: Waves, chosen: np.ndarray, time: np.ndarray) -> np.ndarray:
    """bool[N, T]: from the start of the first to the end of the last wave that is chosen (bool[N, 8]) and present."""
    present = chosen & (waves.amplitude != 0)
    start = np.where(present, waves.centre - EXTENT * waves.width, np.inf).min(1)
    end = np.where(present, waves.centre + EXTENT * waves.width, -np.inf).max(1)
    inside: np.ndarray = (time >= start[:, None]) & (time <= end[:, None])
    return inside
