"""A small run on a chain, whose clients have names that look like markup."""

import shutil

import numpy as np
import pytest

import bofl_jax as bofl
from tests.conftest import make_samples
from tests.pages.files import CLASSES, GATES, SUBJECTS
from tests.support.tiny import tiny_config, write_arrays


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory):
    """Six clients, four rounds, synthetic samples, some updates altered on the way; do not change its files."""
    folder = tmp_path_factory.mktemp("pages")
    samples = make_samples()
    arrays = write_arrays(
        folder / "own.npz", subject=np.array(SUBJECTS)[samples.subject], y=np.array(CLASSES)[samples.y]
    )
    written = tiny_config(arrays) | {
        "model": {"name": "linear"},
        "synthesis": {"generator": "oversample", "dose": 0.3, "rare_share": 0.4, "gates": GATES},
        "adversary": {"channel": "sign-flip", "altered": 0.34, "strength": 1.0},
    }
    return bofl.run(bofl.load_config(written, {"federation.rounds": 4}), out=folder / "run").directory


@pytest.fixture
def copy(run_directory, tmp_path):
    """A copy whose files may be changed."""
    return shutil.copytree(run_directory, tmp_path / "run")
