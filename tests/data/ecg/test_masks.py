"""The true masks of simulated beats: the repeated draws give the recorded waves, and the masks contain them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.data import SimulatorOptions, load
from bofl_jax.data.ecg.devices import MAX_RATE_HZ, clean_ecg
from bofl_jax.data.ecg.filters import FS
from bofl_jax.data.ecg.masks import P_WAVE, PACED_QRS, QRS, patient_beats, simulated_beats, wave_masks
from bofl_jax.data.ecg.morphology import Waves, wave_sum
from bofl_jax.data.ecg.rhythm import atrial_waves, draw_rhythm, recording_seconds
from bofl_jax.data.ecg.simulator import TracedOptions, simulate_patient

BEATS, SEED = 40, 0
CROWD = SimulatorOptions(patients=48, beats=BEATS, ectopy=2.0, paced=0.1)
CODES = dict(zip("NSVFQ", range(5), strict=True))


@pytest.fixture(scope="module")
def crowd():
    """Samples, their masks, and the beats that they were made from, patient after patient."""
    beats = jax.tree.map(lambda *leaves: np.concatenate(leaves), *simulated_beats(CROWD, SEED))
    return load(CROWD, SEED), wave_masks(CROWD, SEED), beats


def test_replayed_waves_make_the_recorded_signal():
    """Without device noise the recording is the heart, so the second drawing must be the first one."""
    strengths = TracedOptions(*map(jnp.float32, (1.0, 0.0, 2.0, 0.1)))

    @jax.jit
    def both(key):
        beats, recording = patient_beats(key, strengths, BEATS), simulate_patient(key, strengths, BEATS)
        count = int(MAX_RATE_HZ * recording_seconds(BEATS))
        heart = clean_ecg(jnp.float32(FS), beats.waves, beats.peaks, count)
        rhythm = draw_rhythm(jax.random.split(key, 8)[0], strengths.ectopy, strengths.paced)
        heart += atrial_waves(rhythm, jnp.arange(count) / FS)
        return heart[: len(recording.signal)], recording.signal

    for patient in range(3):
        heart, signal = both(derive(root_key(SEED), Purpose.DATA, patient))
        np.testing.assert_allclose(heart, signal, atol=2e-4)  # mV; the two sum in another order


def test_masks_are_aligned_with_the_samples(crowd):
    samples, masks, beats = crowd
    assert masks.p.shape == masks.qrs.shape == samples.x.shape[:2]
    np.testing.assert_array_equal(samples.y, beats.codes)
    np.testing.assert_allclose(samples.time, beats.marks / FS)
    assert abs(beats.marks / FS - beats.peaks).max() < 0.005 * 5 + 1 / FS  # the device's jitter, 5 sd, and its grid


def share_outside(crowd, mask, chosen):
    """float[N]: share of the energy of some clean waves (bool[N, 8]) that lies outside of a mask; NaN without any."""
    _, _, beats = crowd
    offsets = np.arange(-CROWD.half_window, CROWD.half_window, CROWD.decimate)
    time = (beats.marks[:, None] + offsets) / FS - beats.peaks[:, None]
    waves = Waves(np.where(chosen, beats.waves.amplitude, 0.0), beats.waves.centre, beats.waves.width)
    energy = np.asarray(jax.vmap(wave_sum)(waves, time)) ** 2
    total = energy.sum(1)
    return np.where(mask, 0.0, energy).sum(1) / np.where(total > 0, total, np.nan)


def test_the_energy_of_the_waves_is_inside(crowd):
    """erfc(2) = .5 % of a lone wave's energy is outside; waves that overlap may cancel inside, hence 1.5 % of QRS."""
    _, masks, beats = crowd
    paced = (beats.codes == CODES["Q"])[:, None]
    p = share_outside(crowd, masks.p, P_WAVE & ~paced)
    qrs = share_outside(crowd, masks.qrs, np.where(paced, PACED_QRS, QRS))
    assert np.nanmax(p) < 0.01
    assert np.nanmax(qrs) < 0.015
    assert not np.isnan(qrs).any()


def test_masks_are_not_wider_than_needed(crowd):
    """A mask without its outer quarter on either side loses energy, so the bound above is not for free."""
    _, masks, beats = crowd
    narrow = np.zeros_like(masks.p)
    for row, mask in enumerate(masks.p):
        inside = np.flatnonzero(mask)
        narrow[row, inside[len(inside) // 4 : len(inside) - len(inside) // 4]] = True
    lost = share_outside(crowd, narrow, P_WAVE & (beats.codes != CODES["Q"])[:, None])
    assert np.nanmin(lost) > 0.05


def test_a_beat_without_a_p_wave_has_no_p_mask(crowd):
    samples, masks, beats = crowd
    has_p = masks.p.any(1)
    for name in "VQ":
        assert not has_p[samples.y == CODES[name]].any()
    expected = (beats.waves.amplitude[:, 0] != 0) & (samples.y != CODES["Q"])
    np.testing.assert_array_equal(has_p, expected)
    fibrillating = np.array([not has_p[(samples.subject == p)].any() for p in range(CROWD.patients)])
    assert 0 < fibrillating.sum() < CROWD.patients / 2
    assert has_p[(samples.y == CODES["N"]) & ~fibrillating[samples.subject]].all()


def test_widths_are_those_of_a_heart(crowd):
    """ms: P about 100, a normal QRS 70-120, a ventricular one wider."""
    samples, masks, _ = crowd
    ms = 1000 / samples.fs
    width = {name: ms * np.median(masks.qrs[samples.y == CODES[name]].sum(1)) for name in "NVFQ"}
    assert 70 < width["N"] < 120
    assert width["V"] > 1.4 * width["N"]
    assert width["F"] > width["N"]
    assert width["Q"] > 1.4 * width["N"]
    assert 80 < ms * np.median(masks.p[masks.p.any(1)].sum(1)) < 120


def test_the_r_peak_is_inside_qrs(crowd):
    samples, masks, beats = crowd
    middle = CROWD.half_window // CROWD.decimate
    on_mark = abs(beats.marks / FS - beats.peaks) < 0.5 / FS
    assert masks.qrs[on_mark, middle].all()
    assert not (masks.qrs & masks.p)[samples.y == CODES["N"]].any()


def test_options_are_followed():
    options = SimulatorOptions(patients=2, beats=BEATS, half_window=360, decimate=3, classes=("V", "N"), ectopy=3.0)
    samples, masks = load(options, 3), wave_masks(options, 3)
    assert masks.p.shape == masks.qrs.shape == samples.x.shape[:2] == (len(samples), 240)
    v = samples.y == samples.classes.index("V")
    assert 0 < v.sum() < len(v)
    assert not masks.p[v].any()
    again = wave_masks(options, 3)
    np.testing.assert_array_equal(masks.qrs, again.qrs)
