"""One run in two processes with two devices each (Gloo on loopback) has the bits of the run in one process."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import bofl_jax as bofl
from bofl_jax.core.errors import BoflError
from bofl_jax.parallel.options import EngineOptions
from bofl_jax.runs import join_processes
from tests.conftest import make_samples
from tests.support.tiny import ROUNDS, exact_results, read_rounds, run_tiny, tiny_config, write_arrays

SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import jax
import numpy as np
import bofl_jax as bofl
from bofl_jax.runs import join_processes

given = json.loads(sys.argv[1])
out, process = Path(given["out"]), given["process"]
engine = bofl.load_config(given["table"]).engine
assert join_processes(f"{process}/2@127.0.0.1:{given['port']}", engine) == (process == 1)
outcomes = {}

def attempt(name, folder=None, overrides={}, **options):
    try:
        run = bofl.run(bofl.load_config(given["table"], overrides), out=out / (folder or name), **options)
    except Exception as error:
        outcomes[name] = f"{type(error).__name__}: {error}"
    else:
        own = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(run.personal_params)])
        outcomes[name] = [run.summary, own.astype(float).tolist()]

def ctrl_c(record):
    if record["round"] == 3:
        os.kill(os.getpid(), signal.SIGINT)

def fail(record):
    if record["round"] == 3:
        raise OSError("disk full")

for name, overrides in given["methods"].items():
    attempt(name, overrides=overrides)
attempt("again", "fedavg")
attempt("another seed", overrides={"seed": process})
attempt("other data", overrides={"data.root": "theirs.npz"})
attempt("missing data", overrides={"data.root": f"only-{process}.npz"})
attempt("map", overrides={"engine.execution": "map"})
attempt("three devices", overrides={"engine.devices": 3, "engine.blocks": 9})
attempt("seven blocks", overrides={"engine.blocks": 7})
attempt("stopped", on_round=ctrl_c)
attempt("resumed", "stopped", resume=True)
attempt("failed", on_round=fail)
(out / f"outcomes-{process}.json").write_text(json.dumps(outcomes))
"""

METHODS = {
    "fedavg": {},
    "ditto": {"federation.algorithm": "ditto", "federation.cohort": 4, "personalise.method": "own"},
    "altered": {"adversary.channel": "sign-flip", "adversary.altered": 0.3},
    "centralised": {"federation.algorithm": "centralised", "ledger.mode": "off"},
    "local": {"federation.algorithm": "local", "ledger.mode": "off", "personalise.method": "none"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run directories that two processes made, each in its own working directory."""
    out = tmp_path_factory.mktemp("hosts")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    flags = "--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false"
    environment = os.environ | {"XLA_FLAGS": flags}
    both = []
    for process in (1, 2):
        host = out / f"host{process}"
        host.mkdir()
        for name, x in {"own": 0.0, "theirs": 0.001 * process, "only-1": 0.0}.items():
            if name != "only-1" or process == 1:
                write_arrays(host / f"{name}.npz", x=make_samples().x + np.float32(x))
        given = {"table": tiny_config("own.npz"), "methods": METHODS, "out": str(out), "port": port, "process": process}
        words = [sys.executable, "-c", SCRIPT, json.dumps(given)]
        both.append(subprocess.Popen(words, env=environment, cwd=host))
    try:
        assert [process.wait(480) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
            process.wait()
    return out


@pytest.fixture(scope="module")
def outcomes(folder):
    """For each process: the name of a run -> its results, or its error."""
    return [json.loads((folder / f"outcomes-{process}.json").read_text()) for process in (1, 2)]


def results_without_ledger(directory):
    """The written configuration names the devices, and the chain names the configuration."""
    found = exact_results(directory)
    losses = [record["loss"] for record in found["rounds"]]
    return {name: found[name] for name in ("test", "fairness", "predictions", "clients")} | {"losses": losses}


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_have_the_bits_of_one(method, folder, tmp_path):
    arrays = write_arrays(tmp_path / "own.npz")
    run_tiny(tmp_path / "alone", arrays, METHODS[method])
    assert results_without_ledger(folder / method) == results_without_ledger(tmp_path / "alone")


@pytest.mark.parametrize("method", METHODS)
def test_both_processes_return_the_run(method, outcomes):
    first, second = (each[method] for each in outcomes)
    assert first == second
    assert np.isfinite(first[1]).all()


def test_the_chain_of_two_processes_holds(folder):
    assert len(bofl.audit(folder / "fedavg").rounds) == ROUNDS


def test_ctrl_c_stops_both_after_the_round_and_the_run_can_be_resumed(folder, outcomes):
    text = f"Interrupted: stopped after round 4 of {ROUNDS}; go on with --resume --out {folder / 'stopped'}"
    assert [each["stopped"] for each in outcomes] == [text, text]
    assert exact_results(folder / "stopped") == exact_results(folder / "fedavg")


def test_an_error_in_the_first_process_ends_both(folder, outcomes):
    first, second = (each["failed"] for each in outcomes)
    assert first == "OSError: disk full"
    assert second == "BoflError: the first process failed: disk full"
    assert len(read_rounds(folder / "failed")) == 3


REFUSED = {
    "again": ("fedavg is not empty: name another --out, or go on with it by --resume", "process 1 of 2 cannot begin"),
    "another seed": ("process 2 of 2 has another configuration than the first",) * 2,
    "other data": ("process 2 of 2 has other data than the first",) * 2,
    "missing data": ("process 2 of 2 cannot begin: fix the error that it reports, and start all again", "only-2.npz"),
    "map": ("engine.execution = 'map' uses one device: with 2 processes set it to 'shard'",) * 2,
    "three devices": ("engine.devices = 3 must be a multiple of the 2 processes",) * 2,
    "seven blocks": ("engine.blocks = 7 must be a multiple of the 2 processes",) * 2,
}


@pytest.mark.parametrize("request_", REFUSED)
def test_both_processes_end_when_one_cannot_begin(request_, outcomes):
    for each, text in zip(outcomes, REFUSED[request_], strict=True):
        assert each[request_].startswith("BoflError: ")
        assert text in each[request_]


@pytest.mark.parametrize("text", ["", "1/2", "0/2@host:1", "3/2@host:1", "1/2@host", "1/2@host:port", "all"])
def test_a_wrong_address_is_refused(text):
    with pytest.raises(BoflError, match="write auto, or I/N@HOST:PORT, as in 2/3@node1:8476"):
        join_processes(text, EngineOptions())


def test_auto_without_a_scheduler_explains_the_address(monkeypatch):
    for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri", "JAX_COORDINATOR_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BoflError, match=r"--distributed auto: .*: write I/N@HOST:PORT"):
        join_processes("auto", EngineOptions())
    assert jax.process_count() == 1
