"""Set-up of all tests: two CPU devices, a cache of compiled programs, tiny data, and the folder of real recordings."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false"
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # worker processes and all processes that tests start inherit it
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="bofl-programs-")
    os.environ["BOFL_PROGRAMS_OF"] = str(os.getpid())
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
if "BOFL_DATA" in os.environ:  # some tests change the working directory
    os.environ["BOFL_DATA"] = str(Path(os.environ["BOFL_DATA"]).resolve())

import jax
import numpy as np
import pytest

from bofl_jax.core.types import Samples

collect_ignore = ["support/own_kinds.py"]
"""Importing this file, even to look for doctests, would register what it holds for all tests of the process."""


def pytest_configure(config: pytest.Config) -> None:
    """Skip the doctests of the second EVM where it is not installed; it needs Python 3.12 or older."""
    if importlib.util.find_spec("ethereum") is None:
        ignored = Path(__file__).parents[1] / "bofl_jax" / "ledger" / "chain" / "eels.py"
        config.option.ignore = [*(config.option.ignore or ()), str(ignored)]


def pytest_unconfigure() -> None:
    """Remove the compiled programs when the process ends that created their folder."""
    if os.environ.get("BOFL_PROGRAMS_OF") == str(os.getpid()):
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


QUICK_TO_COMPILE = ("aggregate", "algorithms", "metrics", "models")
"""Folders whose tests compare no bits between programs: with few optimisations XLA compiles them in .7 of the time."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: compile with few optimisations in `QUICK_TO_COMPILE`, and as a run does everywhere else."""
    tests = Path(__file__).parent
    quick = tests in item.path.parents and item.path.relative_to(tests).parts[0] in QUICK_TO_COMPILE
    if jax.config.values["jax_disable_most_optimizations"] != quick:
        jax.clear_caches()
        jax.config.update("jax_disable_most_optimizations", quick)


@pytest.fixture(scope="session")
def mitdb() -> Path:
    """The folder of the MIT-BIH records; tests are skipped where it is absent."""
    root = os.environ.get("BOFL_DATA")
    if not root or not (Path(root) / "mitdb").is_dir():
        pytest.skip("BOFL_DATA does not point at a folder with mitdb")
    return Path(root) / "mitdb"


def make_samples(subjects: int = 6, each: int = 40, window: int = 32, classes: int = 3, seed: int = 0) -> Samples:
    """Separable windows: the position of a bump depends on the class; amplitude and class mix on the subject.

    Times run from 0 to 120 s, so that ``train_minutes = 1`` halves every subject.
    """
    rng = np.random.default_rng(seed)
    total = subjects * each
    subject = np.repeat(np.arange(subjects, dtype=np.int32), each)
    mix = rng.dirichlet(np.full(classes, 2.0), subjects)
    y = np.array([rng.choice(classes, p=mix[s]) for s in subject], np.int32)
    centre = (y + 1) * window / (classes + 1)
    amplitude = 1 + 0.2 * rng.standard_normal(subjects)[subject]
    t = np.arange(window)
    x = amplitude[:, None] * np.exp(-0.5 * ((t - centre[:, None]) / 2) ** 2) + 0.1 * rng.standard_normal(
        (total, window)
    )
    return Samples(
        x=x[..., None].astype(np.float32),
        features=rng.standard_normal((total, 2)).astype(np.float32),
        y=y,
        subject=subject,
        time=np.tile(np.linspace(0, 120, each), subjects),
        classes=tuple("NSVFQ"[:classes]),
        subjects=tuple(f"s{i}" for i in range(subjects)),
        fs=180.0,
    )


@pytest.fixture(scope="session")
def samples() -> Samples:
    """Six subjects with 40 windows each."""
    return make_samples()


@pytest.fixture
def arrays_file(samples: Samples, tmp_path: Path) -> Path:
    """The same samples in an ``.npz`` file."""
    path = tmp_path / "own.npz"
    np.savez(
        path,
        x=samples.x,
        features=samples.features,
        y=np.array(samples.classes)[samples.y],
        subject=np.array(samples.subjects)[samples.subject],
        time=samples.time,
        fs=samples.fs,
    )
    return path
