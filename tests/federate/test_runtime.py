"""Compiled programs are kept where that can be done."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from bofl_jax.federate.runtime import keep_programs

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
    keep_programs()
    assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "cache" / "programs")


@pytest.mark.usefixtures("nothing_kept")
def test_without_a_folder_nothing_is_kept_and_nothing_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BOFL_CACHE", str(tmp_path / "file"))
    keep_programs()
    assert jax.config.values["jax_compilation_cache_dir"] is None
