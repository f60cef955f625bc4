"""Compiled programs: kept in a cache folder if possible, and released before the memory maps run out."""

from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from bofl_jax.parallel import devices
from bofl_jax.parallel.devices import clear_program_cache, enable_compilation_cache

NAMES = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture
def no_cache_folder():
    """JAX without a cache folder during a test."""
    before = {name: jax.config.values[name] for name in NAMES}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.mark.usefixtures("no_cache_folder")
def test_programs_are_kept_in_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BOFL_CACHE", str(tmp_path / "cache"))
    enable_compilation_cache()
    assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "cache" / "programs")


@pytest.mark.usefixtures("no_cache_folder")
def test_without_a_folder_nothing_is_kept_and_no_error_is_raised(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BOFL_CACHE", str(tmp_path / "file"))
    enable_compilation_cache()
    assert jax.config.values["jax_compilation_cache_dir"] is None


class _TracedProgram:
    """A compiled program that counts how often it is traced."""

    def __init__(self):
        self.traces = 0
        self.program = jax.jit(self.traced)
        self()

    def traced(self, x):
        self.traces += 1
        return x + 1

    def __call__(self):
        self.program(1.0)
        return self.traces


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="counts Linux's memory maps")
@pytest.mark.parametrize(("share", "traces"), [(0.4, 1), (0.6, 2)])
def test_programs_are_released_when_half_of_the_maps_are_in_use(monkeypatch, share, traces):
    program = _TracedProgram()
    used = Path("/proc/self/maps").read_bytes().count(b"\n")
    monkeypatch.setattr(devices, "_memory_map_limit", lambda: int(used / share))
    clear_program_cache()
    assert program() == traces


def test_programs_are_kept_where_maps_are_not_counted(monkeypatch):
    def absent():
        raise FileNotFoundError

    program = _TracedProgram()
    monkeypatch.setattr(devices, "_memory_map_limit", absent)
    clear_program_cache()
    assert program() == 1
