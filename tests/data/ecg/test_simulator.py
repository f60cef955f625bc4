"""The simulator: its closed form against the differential equation of ECGSYN, its seeds, and values of real ECG."""

from dataclasses import fields

import numpy as np
import pytest
from pydantic import ValidationError

from bofl_jax.data import SimulatorOptions, load
from bofl_jax.data.ecg.features import FEATURE_NAMES
from bofl_jax.data.ecg.morphology import Waves, wave_sum

# ECGSYN's own constants: angle in degrees, a, b of P, Q, R, S, T.
ANGLE = np.radians([-70.0, -15.0, 0.0, 15.0, 100.0])
A = np.array([1.2, -5.0, 30.0, -7.5, 0.75])
B = np.array([0.25, 0.1, 0.1, 0.1, 0.4])
SPEED = 2 * np.pi  # rad/s: 60 beats a minute


@pytest.fixture(scope="module")
def crowd():
    return load(SimulatorOptions(patients=320, beats=40, ectopy=2.0, paced=0.1), seed=0)


def same(one, other):
    names = [field.name for field in fields(one) if getattr(one, field.name) is not None]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def ecgsyn_ode(seconds):
    """z(t) of ECGSYN on its limit cycle, where the angle runs evenly, without the respiratory drift z0."""
    from scipy.integrate import solve_ivp

    def slope(t, z):
        d = (SPEED * t - ANGLE + np.pi) % (2 * np.pi) - np.pi
        return -(A * d * np.exp(-(d**2) / (2 * B**2))).sum() * SPEED / (2 * np.pi) - z

    times = np.linspace(0, seconds, int(1000 * seconds), endpoint=False)
    return times, solve_ivp(slope, (0, seconds), [0.0], t_eval=times, max_step=0.002, rtol=1e-8, atol=1e-10).y[0]


def test_closed_form_equals_the_differential_equation():
    """Within 2 % of R over a whole beat: what is neglected, the pull to z0, takes a second to act and QRS .1 s."""
    times, z = ecgsyn_ode(12)
    beat = (times >= 10.5) & (times < 11.5)
    speed = SPEED / (2 * np.pi)
    waves = Waves(A * B**2 * speed / SPEED, ANGLE / SPEED, B / SPEED)
    closed = np.asarray(wave_sum(waves, times[beat] - 11.0))
    error = (z[beat] - z[beat].mean()) - (closed - closed.mean())
    assert np.abs(error).max() < 0.02 * np.ptp(closed)
    assert z[beat].max() - np.median(z[beat]) == pytest.approx(closed.max() - np.median(closed), rel=0.02)


def test_same_seed_same_bits_other_seed_other_patients():
    options = SimulatorOptions(patients=3, beats=40)
    one, again, other = load(options, 1), load(options, 1), load(options, 2)
    assert same(one, again)
    assert not np.array_equal(one.x, other.x)


def test_a_patient_does_not_depend_on_how_many_there_are():
    few = load(SimulatorOptions(patients=3, beats=40), seed=5)
    many = load(SimulatorOptions(patients=11, beats=40), seed=5)
    first = many.subject < 3
    np.testing.assert_array_equal(few.x, many.x[first])
    np.testing.assert_array_equal(few.features, many.features[first])
    assert not np.array_equal(many.x[many.subject == 0], many.x[many.subject == 8])


def test_shapes_follow_the_options(crowd):
    assert crowd.x.shape == (320 * 40, 128, 1)
    assert crowd.fs == 180.0
    assert np.bincount(crowd.subject).tolist() == [40] * 320
    small = load(SimulatorOptions(patients=2, beats=40, half_window=90, decimate=3, causal=True), seed=0)
    assert small.x.shape[1:] == (60, 1)
    assert small.features.shape == (80, 4)
    assert small.fs == 120.0


def test_classes_may_be_fewer_and_in_another_order(crowd):
    some = load(SimulatorOptions(patients=320, beats=40, ectopy=2.0, paced=0.1, classes=("V", "N")), seed=0)
    np.testing.assert_array_equal(some.class_counts(), crowd.class_counts()[[2, 0]])
    with pytest.raises(ValidationError, match="simulator has no class 'X'"):
        SimulatorOptions(classes=("N", "X"))


def ratio(samples, name, label):
    chosen = samples.y == samples.classes.index(label)
    return 1 + 0.25 * samples.features[chosen, FEATURE_NAMES.index(name)]


@pytest.mark.parametrize(
    ("label", "low", "high"),
    [("N", 0.96, 1.06), ("S", 0.66, 0.87), ("V", 0.65, 0.83), ("F", 0.90, 1.03), ("Q", 0.98, 1.02)],
)
def test_coupling_is_that_of_real_beats(crowd, label, low, high):
    """Median pre/local within (about) the middle half of the real beats of the class."""
    assert low < np.median(ratio(crowd, "pre/local", label)) < high


def test_pauses_are_those_of_real_beats(crowd):
    assert 1.15 < np.median(ratio(crowd, "post/local", "V")) < 1.45  # real: 1.28
    both = (ratio(crowd, "pre/local", "V") + ratio(crowd, "post/local", "V")) / 2
    assert np.median(both) == pytest.approx(1.01, abs=0.05)  # a full compensatory pause
    early = (ratio(crowd, "pre/local", "S") + ratio(crowd, "post/local", "S")) / 2
    assert np.median(early) == pytest.approx(0.96, abs=0.05)


def test_pacemakers_are_regular(crowd):
    """RR varies by .3 % between two paced beats, before the R mark is put on a 360 Hz grid with jitter."""
    clean = load(SimulatorOptions(patients=4, beats=40, paced=1.0, ectopy=0.0, devices=0.0), seed=0)
    for subject in range(4):
        times = clean.time[clean.subject == subject]
        assert np.diff(times).std() / np.diff(times).mean() < 0.006
    assert (crowd.y == 4).mean() == pytest.approx(0.1, abs=0.05)


def width_ms(window, fs):
    """Full width at half height of the wave at the R mark."""
    middle = len(window) // 2
    near = slice(middle - 9, middle + 10)
    window = window * np.sign(window[near][np.abs(window[near]).argmax()])
    peak = middle - 9 + int(window[near].argmax())
    below = np.flatnonzero(window < window[peak] / 2)
    left, right = below[below < peak].max(initial=0), below[below > peak].min(initial=len(window) - 1)
    return (right - left - 1) / fs * 1000


def median_width(samples, label):
    chosen = samples.x[samples.y == samples.classes.index(label), :, 0]
    return np.median([width_ms(window, samples.fs) for window in chosen[:2000]])


def test_v_is_about_twice_as_wide_as_n(crowd):
    normal = median_width(crowd, "N")
    assert 20 < normal < 36  # real: 28 ms
    assert 1.8 < median_width(crowd, "V") / normal < 2.7  # real: 2.2
    assert normal - 6 <= median_width(crowd, "S") < 1.3 * normal
    assert normal < median_width(crowd, "F") < median_width(crowd, "V")


def test_rates_are_those_of_real_records():
    """Shares of S, V and F beats, averaged over patients: real 3.1, 6.4 and .6 %; single patients vary widely."""
    samples = load(SimulatorOptions(patients=400, beats=40, paced=0.0), seed=0)
    share = samples.class_counts() / len(samples)
    assert 0.015 < share[1] < 0.05
    assert 0.04 < share[2] < 0.09
    assert 0.002 < share[3] < 0.012


def spread(options):
    """Mean distance of the patients' mean N beats from their common mean."""
    samples = load(options, seed=0)
    normal = samples.y == 0
    means = [samples.x[normal & (samples.subject == p)].mean(0) for p in range(options.patients)]
    return np.std(means, axis=0).mean()


def noise(options):
    """Mean step from sample to sample before the P wave, where a clean recording is smooth."""
    return np.abs(np.diff(load(options, seed=0).x[:, :20, 0], axis=1)).mean()


def test_every_option_has_its_effect():
    calm = {"patients": 8, "beats": 40, "ectopy": 0.0, "paced": 0.0}
    alike = spread(SimulatorOptions(diversity=0.0, devices=0.0, **calm))
    assert spread(SimulatorOptions(diversity=1.0, devices=0.0, **calm)) > 2 * alike
    assert noise(SimulatorOptions(diversity=0.0, devices=1.0, **calm)) > 2 * noise(
        SimulatorOptions(diversity=0.0, devices=0.0, **calm)
    )
    assert load(SimulatorOptions(**calm), seed=0).class_counts().tolist() == [320, 0, 0, 0, 0]
    assert load(SimulatorOptions(**calm | {"paced": 1.0}), seed=0).class_counts()[4] > 290
