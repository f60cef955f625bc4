"""The command of the experiment, shortened to two rounds: all trainings, audits and tables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_shortened_experiment_keeps_finished_runs(tmp_path):
    if not (Path(os.environ.get("BOFL_DATA", "")) / "mitdb").is_dir():
        pytest.skip("BOFL_DATA does not point at a folder with mitdb")
    where = ["--work", tmp_path / "work", "--json", tmp_path / "results.json"]
    command = [sys.executable, "-m", "experiments.mitbih.run", *where, "--short", "--seeds", "0"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results["rows"]) == 12
    assert results["rows"]["fedavg"]["mean"]["beats"] == 74679 + 2496 + 5865 + 620
    assert results["rows"]["centralised"]["mean"]["beats"] == 44259 + 1837 + 3221 + 388 - 20
    for training in ("fedavg", "perfedavg"):
        run = results["trainings"][training]["0"]
        assert run["audit"]["holds"]
        assert run["same_without_ledger"]
    table = (tmp_path / "table.md").read_bytes()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout == ""  # no training was repeated
    assert (tmp_path / "table.md").read_bytes() == table
