"""The example of the README: a method of one's own, from a script that the package knows nothing of."""

import subprocess
import sys
from pathlib import Path

from bofl_jax import audit
from bofl_jax.results.summary import read_summary_record

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "new_method.py"


def test_the_example_runs_and_its_ledger_holds(tmp_path):
    command = [sys.executable, SCRIPT, "--out", tmp_path / "run", "--rounds", "3"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert [line.split(":")[0].strip() for line in ran.stdout.splitlines()] == ["global", "personalised"]
    summary = read_summary_record(tmp_path / "run")
    assert summary["test"]["personalised"]["macro_f1"] > summary["test"]["global"]["macro_f1"]
    assert len(audit(tmp_path / "run").rounds) == 3
