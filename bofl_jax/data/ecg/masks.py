"""Where the P wave and the QRS complex of a simulated beat truly lie: what an explanation can be held against.

The simulator keeps the recording and the R marks, not the waves. The waves of a patient are a pure function of its key,
so they are drawn again here, without the signal. Real recordings have no such masks.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.data.ecg.devices import draw_device
from bofl_jax.data.ecg.filters import FS
from bofl_jax.data.ecg.morphology import Q, Waves, beat_waves, draw_beats, draw_morphology
from bofl_jax.data.ecg.records import CLASSES
from bofl_jax.data.ecg.rhythm import draw_peaks, draw_rhythm
from bofl_jax.data.ecg.simulator import BLOCK, QUICK_COMPILE, Knobs, simulate_patient
from bofl_jax.data.options import SimulatorOptions

EXTENT = 2.0
"""A wave reaches this many standard deviations to each side: .5 % of its energy, erfc(2), lies beyond."""

P_WAVE = np.array([True, False, False, False, False, False, False, False])
"""Which of the eight waves of ``morphology.beat_waves`` are the P wave of a beat that no pacemaker started."""
QRS = np.array([False, True, True, True, False, True, True, False])
"""The same of its QRS complex. In a paced beat wave 0 is the spike and the complex is waves 1 and 2."""
PACED_QRS = np.array([False, True, True, False, False, True, True, False])


class WaveMasks(NamedTuple):
    """The waves of each window's own beat; what reaches in from its neighbours is not marked."""

    p: np.ndarray  # bool[N, T], nowhere true where the beat has no P wave
    qrs: np.ndarray  # bool[N, T]


class Beats(NamedTuple):
    """The beats of one patient as they were made."""

    waves: Waves  # [B, 8]
    peaks: jax.Array  # float32[B], s, the true R peaks
    marks: jax.Array  # int32[B], the R peaks as marked, as samples at 360 Hz
    codes: jax.Array  # int32[B], index into CLASSES


def wave_masks(options: SimulatorOptions, seed: int) -> WaveMasks:
    """The true masks of the P wave and of QRS in the windows of ``simulate(options, seed)``, in its order.

    A wave is marked from 2 standard deviations before its centre to 2 behind, QRS from the start of its first wave to
    the end of its last. The true R peak counts, not the device's mark, so a mask may lie off the window's middle.

    Args:
        options: those of the simulated samples.
        seed: theirs as well.

    >>> masks = wave_masks(SimulatorOptions(patients=1, beats=20, ectopy=0, paced=0), seed=0)
    >>> masks.qrs.shape, int(masks.qrs[:, 64].sum())
    ((20, 128), 20)
    """
    masks = [_to_masks(beats, options) for beats in simulated_beats(options, seed)]
    return WaveMasks(np.concatenate([one.p for one in masks]), np.concatenate([one.qrs for one in masks]))


def simulated_beats(options: SimulatorOptions, seed: int) -> list[Beats]:
    """The beats of every patient of ``simulate(options, seed)``, those of unwanted classes included."""
    knobs = Knobs(*(jnp.float32(getattr(options, name)) for name in Knobs._fields))
    patients: list[Beats] = []
    for first in range(0, options.patients, BLOCK):
        block = jax.device_get(_beats_of_block(root_key(seed), first, knobs, options.beats))
        for index in range(min(BLOCK, options.patients - first)):
            patients.append(jax.tree.map(lambda leaf, i=index: leaf[i], block))
    return patients


def patient_beats(key: jax.Array, knobs: Knobs, beats: int) -> Beats:
    """The beats of one patient: the draws of ``simulator.simulate_patient``, made again from the same keys.

    Args:
        key: the patient's key.
        knobs: strengths of the differences between patients.
        beats: how many.
    """
    recording = simulate_patient(key, knobs, beats)
    rhythm_key, _, peak_key, shape_key, beat_key, device_key, _, _ = jax.random.split(key, 8)
    rhythm = draw_rhythm(rhythm_key, knobs.ectopy, knobs.paced)
    lead_mix = draw_device(device_key, knobs.devices).lead_mix
    morphology = draw_morphology(shape_key, knobs.diversity, lead_mix, rhythm.mean_rr)
    draws, has_p = draw_beats(beat_key, beats), ~rhythm.fibrillation
    waves = jax.vmap(beat_waves, in_axes=(0, None, 0, None))(draws, morphology, recording.codes, has_p)
    return Beats(waves, draw_peaks(peak_key, rhythm, recording.codes), recording.peaks, recording.codes)


@partial(jax.jit, static_argnums=3, compiler_options=QUICK_COMPILE)
def _beats_of_block(root: jax.Array, first: int, knobs: Knobs, beats: int) -> Beats:
    keys = jax.vmap(lambda patient: derive(root, Purpose.DATA, patient))(first + jnp.arange(BLOCK))
    return jax.vmap(patient_beats, in_axes=(0, None, None))(keys, knobs, beats)


def _to_masks(beats: Beats, options: SimulatorOptions) -> WaveMasks:
    """The wanted beats of one patient. All their windows fit: the first beat is later than the widest one reaches."""
    wanted = np.isin(beats.codes, [CLASSES.index(name) for name in options.classes])
    waves, peaks, marks, codes = jax.tree.map(lambda leaf: leaf[wanted], tuple(beats))
    offsets = np.arange(-options.half_window, options.half_window, options.decimate)
    time = (marks[:, None] + offsets) / FS - peaks[:, None].astype(np.float64)
    paced = (codes == Q)[:, None]
    return WaveMasks(
        p=_between_ends(waves, P_WAVE & ~paced, time),
        qrs=_between_ends(waves, np.where(paced, PACED_QRS, QRS), time),
    )


def _between_ends(waves: Waves, chosen: np.ndarray, time: np.ndarray) -> np.ndarray:
    """bool[N, T]: from the start of the first to the end of the last wave that is chosen (bool[N, 8]) and there."""
    present = chosen & (waves.amplitude != 0)
    start = np.where(present, waves.centre - EXTENT * waves.width, np.inf).min(1)
    end = np.where(present, waves.centre + EXTENT * waves.width, -np.inf).max(1)
    return (time >= start[:, None]) & (time <= end[:, None])
