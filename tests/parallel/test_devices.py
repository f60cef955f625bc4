"""Compiled programs: kept in a folder where that can be done, and let go before the memory maps run out."""

from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from bofl_jax.parallel import devices
from bofl_jax.parallel.devices import clear_program_cache, enable_compilation_cache

NAMES = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture
def nothing_kept():
    """JAX without a folder of programs; as it was, at the end."""
    before = {name: jax.config.values[name] for name in NAMES}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.mark.usefixtures("nothing_kept")
def test_programs_are_kept_in_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BOFL_CACHE", str(tmp_path / "cache"))
    enable_compilation_cache()
    assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "cache" / "programs")


@pytest.mark.usefixtures("nothing_kept")
def test_without_a_folder_nothing_is_kept_and_nothing_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BOFL_CACHE", str(tmp_path / "file"))
    enable_compilation_cache()
    assert jax.config.values["jax_compilation_cache_dir"] is None


class _Jitted:
    """A program that was compiled, and how often it is compiled again."""

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
def test_programs_are_let_go_when_half_of_the_maps_are_in_use(monkeypatch, share, traces):
    known = _Jitted()
    used = Path("/proc/self/maps").read_bytes().count(b"\n")
    monkeypatch.setattr(devices, "_map_limit", lambda: int(used / share))
    clear_program_cache()
    assert known() == traces


def test_where_maps_are_not_counted_programs_are_kept(monkeypatch):
    def absent():
        raise FileNotFoundError

    known = _Jitted()
    monkeypatch.setattr(devices, "_map_limit", absent)
    clear_program_cache()
    assert known() == 1
