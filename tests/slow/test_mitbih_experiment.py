"""The experiment's command, shortened to two rounds: every training, the audits, the tables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "mitbih" / "run.py"


@pytest.mark.slow
def test_shortened_experiment(tmp_path):
    if not (Path(os.environ.get("BOFL_DATA", "")) / "mitdb").is_dir():
        pytest.skip("BOFL_DATA does not point at a folder with mitdb")
    command = [sys.executable, SCRIPT, "--work", tmp_path / "work", "--json", tmp_path / "results.json", "--short"]
    first = subprocess.run([*command, "--seeds", "0"], capture_output=True, text=True, check=False)
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
    again = subprocess.run([*command, "--seeds", "0"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout == ""  # nothing was run anew
    assert (tmp_path / "table.md").read_bytes() == table
