"""What is done at a time follows from the memory that is free."""

import tomllib

import jax
import numpy as np
import pytest

import bofl_jax as bofl
from bofl_jax.engine import compile as compilation
from bofl_jax.engine import memory
from bofl_jax.engine.batched import RunBatch
from bofl_jax.engine.compile import digest_location
from bofl_jax.engine.problem import build_problem
from bofl_jax.parallel.clients import ExecutionPlan
from tests.support.methods import PLANS, configure
from tests.support.tiny import exact_results, run_tiny, snapshot_after_each_round, tiny_config, write_arrays

VMAP = ExecutionPlan("vmap", 0, 1, 1)


@pytest.fixture
def free(monkeypatch):
    """Sets how many bytes are free."""
    return lambda count: monkeypatch.setattr(memory, "free_bytes", lambda: count)


def test_as_many_runs_are_side_by_side_as_fit_into_the_memory(samples, free):
    setting = build_problem(configure("ditto"), PLANS["shard"], samples)
    free(10**9)
    many = memory.runs_at_once(setting)
    assert many > 100
    free(10**8)
    assert many // 10 - 1 <= memory.runs_at_once(setting) <= many // 10
    free(0)
    assert [len(chunk) for chunk in RunBatch([setting] * 3).chunks] == [1, 1, 1]


def test_clients_come_in_chunks_when_all_of_them_do_not_fit(samples, free):
    setting = build_problem(configure("ditto"), VMAP, samples)
    free(10**9)
    assert memory.fit_to_memory([setting])[0] is setting
    widths = []
    for count in (50_000, 25_000, 10_000, 0):
        free(count)
        first, second = memory.fit_to_memory([setting, setting])
        assert first.plan == second.plan
        assert first.plan.execution == first.config.engine.execution == "map"
        assert first.plan.width == first.config.engine.width
        widths.append(first.plan.width)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1] == 1
    assert all(width & (width - 1) == 0 for width in widths)


def test_plans_that_hold_one_client_a_device_stay(samples, free):
    free(0)
    setting = build_problem(configure("ditto"), PLANS["shard"], samples)
    assert memory.fit_to_memory([setting])[0] is setting


@pytest.fixture
def accelerator(monkeypatch):
    """An accelerator for all that asks whether this is one."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "device_count", lambda: 1)


@pytest.mark.usefixtures("accelerator")
def test_a_run_that_was_begun_in_chunks_goes_on_in_them(tmp_path, free):
    arrays = write_arrays(tmp_path / "own.npz")
    free(40_000)
    snapshots = tmp_path / "snapshots"
    whole = run_tiny(tmp_path / "run", arrays, on_round=snapshot_after_each_round(tmp_path / "run", snapshots))
    engine = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["engine"]
    assert engine["execution"] == "map"
    assert 1 <= engine["width"] < 6
    free(10**10)
    run_tiny(snapshots / "3", arrays, resume=True)
    assert exact_results(snapshots / "3") == exact_results(tmp_path / "run")
    together = run_tiny(tmp_path / "together", arrays)
    assert tomllib.loads((tmp_path / "together" / "config.toml").read_text())["engine"]["execution"] == "vmap"
    for name in ("global", "personalised"):
        one, other = (run.summary["test"][name]["brier"] for run in (whole, together))
        np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.usefixtures("accelerator")
def test_what_is_asked_for_is_not_changed(tmp_path, free):
    free(0)
    arrays = write_arrays(tmp_path / "own.npz")
    bofl.run(bofl.load_config(tiny_config(arrays), {"engine.execution": "vmap"}), out=tmp_path / "run")
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text())["engine"]["execution"] == "vmap"


def test_many_updates_are_digested_where_they_come_about(tmp_path, monkeypatch):
    """And the ledger holds the digests that the host makes."""
    arrays = write_arrays(tmp_path / "own.npz")
    setting = build_problem(bofl.load_config(tiny_config(arrays)), PLANS["shard"])
    assert digest_location(setting) == "host"
    run_tiny(tmp_path / "host", arrays)
    monkeypatch.setattr(compilation, "HOST_BYTES", 1000)
    assert digest_location(setting) == "device"
    run_tiny(tmp_path / "device", arrays)
    assert exact_results(tmp_path / "device") == exact_results(tmp_path / "host")


@pytest.mark.parametrize("key", ["blocks", "width"])
def test_a_begun_run_refuses_another_way_of_running_clients(key, tmp_path):
    """What a directory says of "auto" hides nothing that is asked for besides."""
    arrays = write_arrays(tmp_path / "own.npz")
    run_tiny(tmp_path / "run", arrays)
    with pytest.raises(bofl.BoflError, match=f"was begun with engine.{key}"):
        run_tiny(tmp_path / "run", arrays, {f"engine.{key}": 4}, resume=True)
