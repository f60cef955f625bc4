"""The committed experiment: its configurations load, its results belong to them, its tables to its results."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from bofl_jax import load_config

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "mitbih"


@pytest.fixture
def scripts(monkeypatch):
    """The experiment's modules, importable as when run.py is the script, and forgotten afterwards."""
    names = ("plan", "measure", "table", "run")
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((FOLDER / "results.json").read_text())


@pytest.mark.usefixtures("scripts")
def test_every_training_is_a_possible_configuration():
    from plan import TRAININGS

    for training in TRAININGS.values():
        config = load_config(FOLDER / training.file, dict(training.overrides))
        assert config.data.records == "nonpaced"
        assert config.seed == 0


def test_federated_configurations_are_protocol_p5():
    for name in ("fedavg", "perfedavg", "local"):
        config = load_config(FOLDER / f"{name}.toml")
        assert (config.partition.train_minutes, config.partition.guard_seconds) == (5.0, 5.0)
        federation = config.federation
        assert (federation.rounds, federation.local_steps, federation.batch_size) == (150, 8, 32)
        assert (config.optimizer.lr, config.optimizer.schedule) == (0.12, "halving")


@pytest.mark.usefixtures("scripts")
def test_results_are_of_the_committed_configurations(results):
    from plan import ROWS, config_hashes

    assert results["configs"] == config_hashes()
    assert list(results["rows"]) == list(ROWS)
    assert results["seeds"] == [0, 1, 2]


def test_results_keep_the_reference_as_it_is_committed(results):
    import tomllib

    reference = tomllib.loads((FOLDER / "reference.toml").read_text())
    for key, row in results["rows"].items():
        assert row["reference"] == reference.get(key, {})


@pytest.mark.usefixtures("scripts")
def test_tables_are_rendered_from_the_results(results):
    from table import render

    table = render(results)
    assert (FOLDER / "table.md").read_text() == table
    assert table in (FOLDER / "README.md").read_text()


def test_ledgered_runs_were_audited_and_change_no_bit(results):
    ledgered = [
        run for by_seed in results["trainings"].values() for run in by_seed.values() if run["ledger"]["mode"] != "off"
    ]
    assert len(ledgered) == 6
    assert all(run["audit"]["holds"] and run["same_without_ledger"] for run in ledgered)
    assert len({run["ledger"]["head_hash"] for run in ledgered}) == 6


@pytest.mark.usefixtures("scripts")
def test_macro_f1_of_the_bootstrap_is_that_of_scikit_learn():
    from measure import macro_f1

    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 3, 200), rng.integers(0, 3, 200)  # class 3 occurs nowhere
    matrix = np.zeros((4, 4), int)
    np.add.at(matrix, (label, predicted), 1)
    assert macro_f1(matrix) == pytest.approx(f1_score(label, predicted, average="macro"), abs=1e-12)


@pytest.mark.usefixtures("scripts")
def test_bootstrap_draws_people_and_not_beats():
    """With every beat of a person right or wrong alike, the interval is that of a few people: wide."""
    from measure import Tested, person_interval

    client = np.repeat(np.arange(4, dtype=np.int32), 500)
    label = np.tile(np.array([0, 1], np.int32), 1000)
    right = client < 2
    probability = np.eye(2, dtype=np.float32)[np.where(right, label, 1 - label)]
    tested = Tested(probability, label, client, ("201", "202", "203", "205"), ("N", "S"), np.ones((4, 2), int))
    low, high = person_interval([tested, tested])
    assert low == 0.0
    assert high == 1.0


def test_the_command_says_what_it_needs():
    said = subprocess.run([sys.executable, FOLDER / "run.py"], capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "--work" in said.stderr


@pytest.mark.usefixtures("scripts")
def test_the_eight_seeds_go_with_the_rest(results):
    from table import render

    eight = json.loads((FOLDER / "results_centralised_8_seeds.json").read_text())
    assert eight["configs"] == results["configs"]
    assert (FOLDER / "table_centralised_8_seeds.md").read_text() == render(eight)
    for seed in ("0", "1", "2"):
        assert eight["rows"]["centralised"]["seeds"][seed] == results["rows"]["centralised"]["seeds"][seed]
