"""``--import FILE``: an addition of every kind from a user's file, through the whole command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
OWN_KINDS = ROOT / "tests" / "support" / "own_kinds.py"

CONFIG = """
seed = 1
[data]
source = "sines"
[partition]
scheme = "pairs"
train_minutes = 1.0
[model]
name = "tanh"
units = 4
[federation]
algorithm = "half"
factor = 0.25
rounds = 2
local_steps = 3
batch_size = 8
[synthesis]
generator = "repeat"
dose = 0.3
[synthesis.gates]
discriminative = 0.5
utility = 0.0
diversity = 0.0
distance = 0.0
membership = 1.0
[personalise]
method = "finetune"
steps = 2
"""


def bofl(*arguments: str) -> subprocess.CompletedProcess:
    """The command line in a process of its own, because registrations last as long as a process."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "bofl_jax", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory):
    """A finished run that uses an own source, scheme, model, algorithm, generator and metric."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.toml").write_text(CONFIG)
    done = bofl("run", str(folder / "own.toml"), "--out", str(folder / "run"), "--import", str(OWN_KINDS))
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def summary(run_directory):
    return json.loads((run_directory / "summary.json").read_text())


def test_an_own_source_and_partition_scheme_make_the_clients(run_directory):
    with np.load(run_directory / "predictions.npz") as arrays:
        assert arrays["classes"].tolist() == ["slow", "fast", "rare"]
        assert arrays["client_names"].tolist() == ["pair-0", "pair-1"]
        assert len(arrays["subject_names"]) == 4


def test_an_own_model_and_algorithm_are_in_the_written_configuration(run_directory):
    text = (run_directory / "config.toml").read_text()
    assert 'algorithm = "half"' in text
    assert "factor = 0.25" in text
    assert 'name = "tanh"' in text


def test_an_own_generator_serves_approved_requests(run_directory, summary):
    lines = [json.loads(line) for line in (run_directory / "synthesis.jsonl").read_text().splitlines()]
    assert {line["label"] for line in lines} == {"rare"} or all(line["amount"] > 0 for line in lines)
    assert summary["synthesis"]["used"] > 0


def test_an_own_metric_is_in_the_summary(summary):
    for model in ("global", "personalised"):
        measured = summary["test"][model]
        assert measured["error_rate"] == pytest.approx(1 - measured["accuracy"], abs=1e-6)


@pytest.mark.parametrize("command", ["audit", "figures", "report", "resume"])
def test_every_command_knows_what_the_file_registers(command, run_directory):
    call = ["run", str(run_directory / "config.toml"), "--resume", "--out", str(run_directory)]
    done = bofl(*(call if command == "resume" else [command, str(run_directory)]), "--import", str(OWN_KINDS))
    assert done.returncode == 0, done.stderr
    if command == "report":
        assert "error rate" in (run_directory / "report.html").read_text().lower()


def test_without_the_import_the_unknown_kind_is_named(run_directory):
    done = bofl("run", str(run_directory / "config.toml"), "--out", str(run_directory.parent / "other"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is unknown: choose one of" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no such Python file"),
        ("1 / 0", "fails with ZeroDivisionError: division by zero"),
        ("import bofl_jax\nbofl_jax.register(3)", "int cannot be registered"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line(tmp_path, text, said):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    done = bofl("report", str(tmp_path), "--import", str(path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
