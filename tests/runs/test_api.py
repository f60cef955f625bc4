"""A run from its configuration to its directory: the files, and that a second run has the same bits."""

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import bofl_jax as bofl
from bofl_jax.core.errors import BoflError
from bofl_jax.runs import RunStart, audit
from tests.conftest import make_samples
from tests.support.tiny import (
    ROUNDS,
    exact_results,
    read_clients,
    read_rounds,
    run_tiny,
    tiny_config,
    without_ledger,
    write_arrays,
)

METRICS = {
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "macro_f1_nsv",
    "auroc_macro",
    "auprc_macro",
    "ece",
    "brier",
    "per_class",
}
CLASS_METRICS = {"recall", "precision", "f1", "specificity", "support"}

VARIANTS = {
    "fedavg": {},
    "fedprox": {
        "federation.algorithm": "fedprox",
        "federation.mu": 0.5,
        "federation.cohort": 4,
        "federation.stragglers": 0.5,
        "federation.straggler_policy": "drop",
        "federation.local_epochs": 1.5,
        "federation.sampling": "shuffle",
        "federation.class_weights": "sqrt",
        "personalise.method": "none",
    },
    "perfedavg": {
        "federation.algorithm": "perfedavg",
        "federation.cohort": 3,
        "federation.stragglers": 0.4,
        "federation.local_steps": 3,
        "optimizer.schedule": "cosine",
        "optimizer.momentum": 0.5,
    },
}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def finished(variant: str, arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_tiny(tmp_path_factory.mktemp(variant) / "run", arrays, VARIANTS[variant]).directory


@pytest.fixture(scope="module")
def base(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> bofl.Run:
    return run_tiny(tmp_path_factory.mktemp("base") / "run", arrays)


def test_the_directory_holds_the_documented_files(base):
    files = {str(path.relative_to(base.directory)) for path in base.directory.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith("checkpoints/")} == {
        "config.toml",
        "environment.json",
        "rounds.jsonl",
        "clients.csv",
        "predictions.npz",
        "summary.json",
        "ledger/genesis.json",
        "ledger/blocks.rlp",
        "ledger/leaves.rlp",
        "ledger/contract.json",
    }
    assert sorted(path.name for path in (base.directory / "checkpoints").iterdir()) == ["4", "5"]


def test_the_summary_has_the_documented_keys(base):
    summary = json.loads((base.directory / "summary.json").read_text())
    assert summary == base.summary
    assert set(summary) == {"test", "fairness", "synthesis", "ledger", "timing", "config_sha256", "safety"}
    assert set(summary["safety"]) == {"global", "personalised"}
    assert set(summary["test"]) == set(summary["fairness"]) == {"global", "personalised"}
    for measured in summary["test"].values():
        assert set(measured) == METRICS
        assert {name: set(row) for name, row in measured["per_class"].items()} == dict.fromkeys("NSV", CLASS_METRICS)
    assert set(summary["ledger"]) == {
        "mode",
        "rounds",
        "gas_total",
        "gas_per_round",
        "bytes_total",
        "cpu_ms_per_round",
        "accepted",
        "rejected",
        "head_hash",
    }
    assert set(summary["timing"]) == {"compile_s", "rounds_s", "samples_per_s"}
    assert re.fullmatch(r"[0-9a-f]{64}", summary["config_sha256"])


def test_the_summary_adds_up_the_rounds(base):
    rounds, ledger = read_rounds(base.directory), base.summary["ledger"]
    assert (ledger["mode"], ledger["rounds"]) == ("merkle", ROUNDS)
    for total, name in (("gas_total", "gas"), ("bytes_total", "bytes"), ("accepted", "accepted")):
        assert ledger[total] == sum(record["ledger"][name] for record in rounds) > 0
    assert ledger["gas_per_round"] == ledger["gas_total"] / ROUNDS
    assert ledger["rejected"] == 0
    blocks = (base.directory / "ledger" / "blocks.rlp").stat().st_size
    assert 0 < ledger["bytes_total"] < blocks + (base.directory / "ledger" / "leaves.rlp").stat().st_size
    seconds, examples = base.summary["timing"]["rounds_s"], sum(record["examples"] for record in rounds)
    assert base.summary["timing"]["samples_per_s"] == examples / seconds


def test_rounds_have_the_documented_fields(base):
    rounds = read_rounds(base.directory)
    assert [record["round"] for record in rounds] == list(range(1, ROUNDS + 1))
    for record in rounds:
        assert set(record) - {"metrics"} == {"round", "loss", "examples", "clients", "seconds", "ledger"}
        assert set(record["ledger"]) == {"gas", "bytes", "cpu_ms", "digest_ms", "accepted", "rejected"}
        assert (record["clients"], record["examples"], record["ledger"]["accepted"]) == (6, 6 * 2 * 8, 6)
    assert [record["round"] for record in rounds if "metrics" in record] == [2, 4, 5]
    assert rounds[-1]["metrics"] == base.summary["test"]["global"]


def test_each_client_has_a_row(base):
    rows = read_clients(base.directory)
    assert list(rows[0]) == [
        "client",
        "subject",
        "n_train",
        "n_test",
        *(f"train_{name}" for name in "NSV"),
        *(f"test_{name}" for name in "NSV"),
        "label_divergence",
        *(f"{model}_{name}" for model in ("global", "personalised") for name in ("accuracy", "macro_f1")),
    ]
    assert [row["client"] for row in rows] == [row["subject"] for row in rows] == [f"s{i}" for i in range(6)]
    for row in rows:
        for part in ("train", "test"):
            assert int(row[f"n_{part}"]) == sum(int(row[f"{part}_{name}"]) for name in "NSV") == 20


def test_predictions_give_the_stated_accuracy(base):
    with np.load(base.directory / "predictions.npz") as arrays:
        held = {name: arrays[name] for name in arrays.files}
    names = {"label", "client", "subject", "sample", "time", "classes", "client_names", "subject_names", "person_names"}
    assert set(held) == names | {"global_probability", "personalised_probability"}
    count = len(held["label"])
    assert count == 120
    for model in ("global", "personalised"):
        probability = held[f"{model}_probability"]
        assert probability.shape == (count, 3)
        np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)
        right = (probability.argmax(axis=1) == held["label"]).mean()
        assert base.summary["test"][model]["accuracy"] == pytest.approx(right, abs=1e-6)
    assert held["classes"].tolist() == ["N", "S", "V"]
    np.testing.assert_array_equal(held["client"], np.repeat(np.arange(6), 20))
    assert held["time"].dtype == np.float64
    np.testing.assert_array_equal(held["time"], make_samples().time[held["sample"]])
    assert held["time"].min() >= 60, "the first minute is the labelled one"


def test_environment_names_versions_and_device(base):
    environment = json.loads((base.directory / "environment.json").read_text())
    assert {"python", "platform", "backend", "device", "devices", "packages"} <= set(environment)
    assert environment["packages"]["bofl_jax"] == importlib.metadata.version("bofl_jax")
    assert set(environment["packages"]) >= {"jax", "jaxlib", "flax", "numpy"}


def test_the_run_returns_what_it_trained(base):
    """The returned parameters are those of the last checkpoint; a client's own differ from them."""
    shared, personal = jax.tree.leaves(base.params), jax.tree.leaves(base.personal_params)
    assert [(6, *leaf.shape) for leaf in shared] == [leaf.shape for leaf in personal]
    assert any((own != leaf).any() for own, leaf in zip(personal, shared, strict=True))


def test_a_run_learns(arrays, tmp_path):
    """The classes of the tiny data are separable, and more rounds separate them."""
    run = run_tiny(tmp_path / "run", arrays, {"federation.rounds": 60, "evaluate.every": 0, "ledger.mode": "off"})
    assert run.summary["test"]["global"]["accuracy"] > 0.8
    assert [record["round"] for record in read_rounds(run.directory) if "metrics" in record] == [60]


def test_the_written_configuration_reproduces_the_run(variant, finished, tmp_path):
    config = bofl.load_config(finished / "config.toml")
    assert config.to_toml() == (finished / "config.toml").read_text()
    again = bofl.run(config, out=tmp_path / "again")
    assert exact_results(again.directory) == exact_results(finished)
    assert (again.directory / "config.toml").read_bytes() == (finished / "config.toml").read_bytes()
    assert variant == config.federation.algorithm


def test_two_runs_are_equal_to_the_bit(variant, finished, arrays, tmp_path):
    again = exact_results(run_tiny(tmp_path / "again", arrays, VARIANTS[variant]).directory)
    assert again == exact_results(finished)
    assert re.fullmatch(r"0x[0-9a-f]{64}", again["ledger"]["head_hash"])


def test_turning_the_ledger_off_changes_no_bit(variant, finished, arrays, tmp_path):
    off = run_tiny(tmp_path / "off", arrays, VARIANTS[variant] | {"ledger.mode": "off"})
    assert without_ledger(exact_results(off.directory)) == without_ledger(exact_results(finished))
    assert not (off.directory / "ledger").exists()
    ledger = off.summary["ledger"]
    assert (ledger["mode"], ledger["rounds"], ledger["gas_total"], ledger["head_hash"]) == ("off", 0, 0, "")


@pytest.mark.parametrize("mode", ["signed", "per-client", "calldata"])
def test_the_mode_of_the_ledger_changes_no_bit_but_the_ledger(mode, arrays, tmp_path):
    plain = run_tiny(tmp_path / "merkle", arrays, {})
    run = run_tiny(tmp_path / mode, arrays, {"ledger.mode": mode, "ledger.quorum": 1.0})
    assert without_ledger(exact_results(run.directory)) == without_ledger(exact_results(plain.directory))
    gas = [line["ledger"]["gas"] for line in read_rounds(run.directory)]
    assert [audited.gas for audited in audit(run.directory).rounds] == gas


def test_another_seed_gives_another_run(base, arrays, tmp_path):
    other = exact_results(run_tiny(tmp_path / "other", arrays, {"seed": 1}).directory)
    here = exact_results(base.directory)
    for part in ("test", "ledger", "predictions", "rounds"):
        assert other[part] != here[part], part


def test_the_cohort_and_the_stragglers_show_in_the_rounds(arrays, tmp_path):
    """FedProx variant: 4 of 6 clients, half of them late and left out."""
    run = run_tiny(tmp_path / "run", arrays, VARIANTS["fedprox"] | {"federation.rounds": 2})
    for record in read_rounds(run.directory):
        assert (record["clients"], record["ledger"]["accepted"]) == (2, 2)
        assert record["examples"] == 2 * 4 * 8  # ceil(1.5 epochs of 20 samples / 8) = 4 steps
    assert run.summary["test"]["personalised"] is None
    assert set(run.summary["fairness"]) == {"global"}
    assert run.personal_params is None


@pytest.mark.parametrize("algorithm", ["local", "centralised"])
def test_baselines_run_in_the_same_engine(algorithm, arrays, tmp_path):
    overrides = {"federation.algorithm": algorithm, "ledger.mode": "off", "personalise.method": "none"}
    first = run_tiny(tmp_path / "first", arrays, overrides)
    assert exact_results(run_tiny(tmp_path / "second", arrays, overrides).directory) == exact_results(first.directory)
    here, there = ("personalised", "global") if algorithm == "local" else ("global", "personalised")
    assert first.summary["test"][here]["accuracy"] > 0
    assert first.summary["test"][there] is None
    assert (first.params is None) == (algorithm == "local")


def test_the_start_is_reported_once_before_the_directory_is_begun(arrays, tmp_path):
    """With the rounds that are done already, where the run is resumed."""
    starts = []

    def record_start(start):
        starts.append((start, (tmp_path / "run").exists()))

    for rounds in (0, 2):
        run_tiny(tmp_path / "run", arrays, {"federation.rounds": 2}, on_start=record_start, resume=True)
        start = RunStart(6, 240, rounds=2, completed_rounds=rounds, backend="cpu", devices=2)
        assert starts.pop() == (start, rounds == 2)
    assert not starts


def test_an_existing_run_is_refused(base, arrays):
    before = (base.directory / "summary.json").read_bytes()
    with pytest.raises(BoflError, match=r"is not empty: name another --out, or go on with it by --resume$"):
        run_tiny(base.directory, arrays)
    assert (base.directory / "summary.json").read_bytes() == before


def test_another_folder_with_files_is_refused_also_with_resume(arrays, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(BoflError, match=r"is not empty: name another --out$"):
            run_tiny(tmp_path, arrays, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_taken(arrays, tmp_path):
    (tmp_path / "run").mkdir()
    assert run_tiny(tmp_path / "run", arrays, {"federation.rounds": 1}).directory == tmp_path / "run"


def test_out_that_cannot_be_written_is_one_line(arrays, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BoflError, match=r"file is a file: name another --out$"):
        run_tiny(tmp_path / "file", arrays)
    with pytest.raises(BoflError, match=r"cannot be written \(Not a directory\): name another --out$"):
        run_tiny(tmp_path / "file" / "run", arrays)


def test_diverged_training_stops_without_a_summary(arrays, tmp_path):
    with pytest.raises(BoflError, match=r"^round \d: .* training diverged: lower optimizer.lr \(now 1e\+30\)"):
        run_tiny(tmp_path / "run", arrays, {"optimizer.lr": 1e30})
    assert not (tmp_path / "run" / "summary.json").exists()


def test_ctrl_c_in_a_fresh_process_then_resume_equals_an_uninterrupted_run(base, arrays, tmp_path):
    """A real SIGINT to a command line in its own process."""
    config, out = tmp_path / "tiny.toml", tmp_path / "run"
    rounds = 80
    overrides = {"federation.rounds": rounds, "evaluate.every": 0}
    config.write_text(bofl.load_config(tiny_config(arrays), overrides).to_toml())
    command = [sys.executable, "-m", "bofl_jax", "run", str(config), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "6 clients, 240 samples, 80 rounds; compiling once for 2 cpu devices ...\n"
        assert process.stdout.readline().startswith(f"round {rounds // 10}/{rounds}  loss ")
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    done = len(read_rounds(out))
    assert rounds // 10 <= done < rounds
    told = rf"bofl: stopped after round {done} of {rounds}; go on with --resume --out {re.escape(str(out))}"
    assert re.fullmatch(told, errors.strip())
    assert not (out / "summary.json").exists()
    assert str(done) in [path.name for path in (out / "checkpoints").iterdir()]

    resumed = bofl.run(bofl.load_config(config), out=out, resume=True)
    whole = bofl.run(bofl.load_config(config), out=tmp_path / "whole")
    assert exact_results(resumed.directory) == exact_results(whole.directory)
    assert base.summary["ledger"]["head_hash"] != whole.summary["ledger"]["head_hash"]
