"""The number of devices changes no bit of a run, and nothing but rounding of a sweep; eight of them, in processes."""

import json
import os
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import tomli_w

from tests.support.tiny import exact_results, tiny_config, write_arrays

SCRIPT = """
import json, sys
from pathlib import Path
import jax
import bofl_jax as bofl
from bofl_jax.sweep import Axis, sweep
given = json.loads(sys.argv[1])
assert jax.device_count() == given["devices"]
out = Path(given["out"])
bofl.run(bofl.load_config(given["table"]), out=out / "run")
swept = sweep(lambda point: bofl.load_config(given["table"], point), [Axis("seed", (0, 1, 2))], out / "sweep")
assert not swept.failed, swept.failed
"""


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run and a sweep of three on one device and on eight."""
    folder = tmp_path_factory.mktemp("devices")
    given = {"table": tiny_config(write_arrays(folder / "own.npz"))}
    for devices in (1, 8):
        out = folder / str(devices)
        out.mkdir()
        words = json.dumps(given | {"devices": devices, "out": str(out)})
        flags = f"--xla_force_host_platform_device_count={devices} --xla_cpu_multi_thread_eigen=false"
        subprocess.run(
            [sys.executable, "-c", SCRIPT, words],
            check=True,
            env=os.environ | {"XLA_FLAGS": flags},
        )
    return folder


def without_configuration(results):
    """The written configuration names the devices, and the chain names the configuration."""
    return {name: results[name] for name in ("test", "fairness", "predictions", "clients")}


def test_a_run_on_eight_devices_is_the_run_on_one(runs):
    one, eight = (exact_results(runs / devices / "run") for devices in ("1", "8"))
    assert without_configuration(one) == without_configuration(eight)
    assert [r["loss"] for r in one["rounds"]] == [r["loss"] for r in eight["rounds"]]


def test_a_sweep_on_eight_devices_is_the_sweep_on_one(runs):
    """Three members and five rows that fill up."""
    for seed in range(3):
        one, eight = (exact_results(runs / devices / "sweep" / f"seed={seed}") for devices in ("1", "8"))
        for name, (kind, content) in one["predictions"].items():
            if name.endswith("probability"):
                other = np.frombuffer(eight["predictions"][name][1], kind)
                np.testing.assert_allclose(np.frombuffer(content, kind), other, atol=1e-6)


@pytest.mark.skipif(CORES < 2, reason="one core, one device")
def test_a_new_process_has_one_device_for_each_core(tmp_path):
    """The number of devices is set before JAX is initialised."""
    command_line(tmp_path, "run")
    engine = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["engine"]
    assert engine["devices"] == max(n for n in range(1, CORES + 1) if engine["blocks"] % n == 0)
    assert engine["devices"] > 1


@pytest.mark.skipif(CORES < 2, reason="one core, one device")
def test_a_sweep_is_resumed_by_a_new_process(tmp_path):
    """The new process resolves the same number of devices."""
    command_line(tmp_path, "sweep", "--grid", "seed=0")
    assert "seed=0  was complete" in command_line(tmp_path, "sweep", "--grid", "seed=0", "--resume")


def command_line(folder, command, *options):
    """Run one round in a new process, in which no variable sets the number of devices; returns its output."""
    config = tiny_config(write_arrays(folder / "own.npz"))
    (folder / "tiny.toml").write_text(tomli_w.dumps(config | {"federation": config["federation"] | {"rounds": 1}}))
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    words = [sys.executable, "-m", "bofl_jax", command, folder / "tiny.toml", "--out", folder / command, *options]
    return subprocess.run(words, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
