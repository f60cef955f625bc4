"""The benchmark of very many clients writes its windows as a user would."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bofl_jax import data
from bofl_jax.data import NpzOptions

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def large(monkeypatch):
    """The script, which imports its neighbours."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import large

    return large


def test_every_client_has_training_windows_and_one_test_window(large, tmp_path):
    large.write_windows(tmp_path / "windows.npz", clients=5, samples=3)
    samples = data.load(NpzOptions(source="npz", root=tmp_path / "windows.npz"), seed=0)
    assert samples.x.shape == (5 * 4, 256, 1)
    np.testing.assert_array_equal(np.bincount(samples.subject), [4] * 5)
    assert (samples.time > 60).sum() == 5
