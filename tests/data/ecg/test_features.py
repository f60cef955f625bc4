"""RR features and windows against values computed by hand."""

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.data.ecg.features import CAUSAL_FEATURE_NAMES, FEATURE_NAMES, cut_windows, rr_features, scale_windows

TIMES = np.array([0.0, 0.8, 1.6, 2.1, 3.2])  # RR .8 .8 .5 1.1, mean .8


def column(name, causal=False):
    names = CAUSAL_FEATURE_NAMES if causal else FEATURE_NAMES
    return rr_features(TIMES, causal)[:, names.index(name)]


def test_intervals_in_seconds_by_hand():
    np.testing.assert_allclose(column("pre"), (np.array([0.8, 0.8, 0.8, 0.5, 1.1]) - 0.8) / 0.25, atol=1e-6)
    np.testing.assert_allclose(column("post"), (np.array([0.8, 0.8, 0.5, 1.1, 1.1]) - 0.8) / 0.25, atol=1e-6)
    local = np.array([0.8, 0.8, 0.8, 2.9 / 4, 4.0 / 5])
    np.testing.assert_allclose(column("local"), (local - 0.8) / 0.25, atol=1e-6)


def test_ratios_by_hand():
    assert column("pre/local")[3] == pytest.approx((0.5 / (2.9 / 4) - 1) / 0.25, abs=1e-6)
    assert column("post/local")[3] == pytest.approx((1.1 / (2.9 / 4) - 1) / 0.25, abs=1e-6)
    assert column("pre/mean")[3] == pytest.approx((0.5 / 0.8 - 1) / 0.25, abs=1e-6)
    assert column("post/mean")[3] == pytest.approx((1.1 / 0.8 - 1) / 0.25, abs=1e-6)


def test_the_local_mean_covers_ten_beats():
    times = np.cumsum([0.0] + [2.0] + [1.0] * 12)
    local = rr_features(times)[:, 2] * 0.25 + 0.8
    assert local[10] == pytest.approx(1.1)  # RR 1 to 10: one of 2 s, nine of 1 s
    assert local[11] == pytest.approx(1.0)


def test_values_are_clipped():
    assert rr_features(np.array([0.0, 9.0, 18.0])).max() == 4.0


def test_causal_features_do_not_depend_on_later_beats():
    later = TIMES.copy()
    later[4] = 9.0
    np.testing.assert_array_equal(rr_features(TIMES, causal=True)[:4], rr_features(later, causal=True)[:4])
    assert column("pre/mean", causal=True)[3] == pytest.approx((0.5 / (2.9 / 4) - 1) / 0.25, abs=1e-6)


def test_a_single_beat_has_no_interval():
    with pytest.raises(BoflError, match="at least 2 beats"):
        rr_features(np.array([1.0]))


def test_windows_that_do_not_fit_are_left_out():
    windows, fits = cut_windows(np.arange(100.0), np.array([9, 10, 50, 90, 91]), half_window=10, decimate=2)
    assert fits.tolist() == [False, True, True, True, False]
    np.testing.assert_array_equal(windows[0], np.arange(0, 20, 2))
    np.testing.assert_array_equal(windows[2], np.arange(80, 100, 2))


def test_all_windows_of_a_record_have_one_scale():
    windows = np.random.default_rng(0).normal(3, 2, (50, 8))
    np.testing.assert_allclose(scale_windows(windows), windows / windows.std(), rtol=1e-6)
    with pytest.raises(BoflError, match="flat"):
        scale_windows(np.zeros((3, 4)))
