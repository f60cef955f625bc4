"""The experiments on published numbers, shortened: they run, and the claims that a short run can show hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(name, tmp_path, *arguments):
    command = [sys.executable, "-m", f"experiments.published.{name}", *arguments, "--json", tmp_path / "result.json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    return json.loads((tmp_path / "result.json").read_text())


@pytest.mark.slow
def test_pfedme(tmp_path):
    table = run("pfedme", tmp_path, "--rounds", "120", "--seeds", "1")["accuracy"]
    personal, common = table["mclr pfedme-personalised"]["max"], table["mclr pfedme-global"]["max"]
    assert abs(personal - 83.2) < 1.5
    assert personal > common + 2
    assert table["mclr perfedavg"]["max"] > table["mclr fedavg"]["max"]


@pytest.mark.slow
def test_fedprox(tmp_path):
    accuracy = run("fedprox", tmp_path, "--rounds", "40", "--seeds", "2")["accuracy"]
    for fedavg, proximal in zip(
        accuracy["synthetic(1,1)"]["FedAvg 90 %"], accuracy["synthetic(1,1)"]["mu=1 90 %"], strict=True
    ):
        assert proximal > fedavg


@pytest.mark.slow
def test_fedrep(tmp_path):
    holds = run("fedrep", tmp_path, "--rounds", "300", "--seeds", "1")["holds"]
    assert all(value for size in holds.values() for value in size.values())


@pytest.mark.slow
def test_ditto(tmp_path):
    assert all(case["holds"] for case in run("ditto", tmp_path)["cases"].values())


@pytest.mark.slow
def test_fcube(tmp_path):
    methods = run("fcube", tmp_path, "--rounds", "40", "--seeds", "2")["methods"]
    assert min(method["mean"] for method in methods.values()) > 0.985
