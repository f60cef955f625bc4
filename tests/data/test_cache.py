"""Cached windows: the same bits, quickly, and never the windows of other files or options."""

import time
from dataclasses import fields

import numpy as np
import pytest

from bofl_jax.data import MitbihOptions, load
from bofl_jax.data.ecg import mitbih
from bofl_jax.data.location import cache_home


@pytest.fixture
def builds(monkeypatch):
    """A list with one entry for each time that windows were built and not read."""
    built = []
    build = mitbih._build
    monkeypatch.setattr(mitbih, "_build", lambda *args: built.append(1) or build(*args))
    return built


def options(root, **changes):
    return MitbihOptions(root=root, **{"records": ("100",)} | changes)


def same(one, other):
    names = [field.name for field in fields(one) if getattr(one, field.name) is not None]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_the_second_load_is_equal_to_the_bit(record_100, builds):
    first, second = (load(options(record_100), seed=0) for _ in range(2))
    assert len(builds) == 1
    assert same(first, second)
    assert type(second.subjects) is tuple
    assert second.person == ("100",)
    assert (second.mask, second.task) == (None, "multiclass")
    assert second.x.dtype == np.float32


def test_the_second_load_takes_less_than_two_seconds(mitdb, builds):
    load(MitbihOptions(root=mitdb), seed=0)
    start = time.perf_counter()
    load(MitbihOptions(root=mitdb), seed=0)
    assert time.perf_counter() - start < 2  # all 44 records, hashing included; about .3 s on 2 idle cores
    assert len(builds) == 1


@pytest.mark.parametrize("change", [{"causal": True}, {"half_window": 64}, {"lowpass_hz": 30.0}, {"lead": "V5"}])
def test_other_options_give_other_windows(record_100, builds, change):
    load(options(record_100), seed=0)
    other = load(options(record_100, **change), seed=0)
    assert len(builds) == 2
    assert same(other, load(options(record_100, cache=False, **change), seed=0))


def test_other_content_gives_other_windows(record_100, builds):
    """One sample differs; names, sizes and times of the files are the same."""
    before = load(options(record_100), seed=0)
    path = record_100 / "100.dat"
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)
    assert not same(before, load(options(record_100), seed=0))
    assert len(builds) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:0], lambda b: b[: len(b) // 2], lambda b: b[:5000] + b"?" + b[5001:]])
def test_a_damaged_file_is_rebuilt(record_100, builds, damage, caplog):
    before = load(options(record_100), seed=0)
    (path,) = (cache_home() / "windows").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert same(before, load(options(record_100), seed=0))
    assert "built anew" in caplog.text
    assert same(before, load(options(record_100), seed=0))
    assert len(builds) == 2
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_unwritable_cache_is_reported_and_the_windows_are_built(record_100, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BOFL_CACHE", str(tmp_path / "file"))
    assert len(load(options(record_100), seed=0)) > 2000
    assert "not cached" in caplog.text
