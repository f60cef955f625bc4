"""The committed experiment: its configurations load, its results belong to them, and its tables to its results."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from bofl_jax import load_config
from experiments.mitbih.measure import Predictions, macro_f1, person_interval
from experiments.mitbih.plan import ROWS, TRAININGS, config_hashes
from experiments.mitbih.table import main, render

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments" / "mitbih"


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((FOLDER / "results.json").read_text())


def test_every_training_has_a_valid_configuration():
    for training in TRAININGS.values():
        config = load_config(FOLDER / training.file, dict(training.overrides))
        assert config.data.records == "nonpaced"
        assert config.seed == 0


def test_federated_configurations_follow_protocol_p5():
    for name in ("fedavg", "perfedavg", "local"):
        config = load_config(FOLDER / f"{name}.toml")
        assert (config.partition.train_minutes, config.partition.guard_seconds) == (5.0, 5.0)
        federation = config.federation
        assert (federation.rounds, federation.local_steps, federation.batch_size) == (150, 8, 32)
        assert (config.optimizer.lr, config.optimizer.schedule) == (0.12, "halving")


def test_results_belong_to_the_committed_configurations(results):
    assert results["configs"] == config_hashes()
    assert list(results["rows"]) == list(ROWS)
    assert results["seeds"] == [0, 1, 2]


def test_results_keep_the_reference_as_it_is_committed(results):
    import tomllib

    reference = tomllib.loads((FOLDER / "reference.toml").read_text())
    for key, row in results["rows"].items():
        assert row["reference"] == reference.get(key, {})


def test_tables_are_rendered_from_the_results(results):
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


def test_macro_f1_of_the_bootstrap_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 3, 200), rng.integers(0, 3, 200)  # class 3 occurs nowhere
    matrix = np.zeros((4, 4), int)
    np.add.at(matrix, (label, predicted), 1)
    assert macro_f1(matrix) == pytest.approx(f1_score(label, predicted, average="macro"), abs=1e-12)


def test_the_bootstrap_draws_people_and_not_beats():
    """If all beats of a person are correct or all are wrong, the interval is as wide as that of a few people."""
    client = np.repeat(np.arange(4, dtype=np.int32), 500)
    label = np.tile(np.array([0, 1], np.int32), 1000)
    correct = client < 2
    probability = np.eye(2, dtype=np.float32)[np.where(correct, label, 1 - label)]
    predictions = Predictions(
        probability, label, client, ("201", "202", "203", "205"), ("N", "S"), np.ones((4, 2), int)
    )
    low, high = person_interval([predictions, predictions])
    assert low == 0.0
    assert high == 1.0


def test_the_command_says_what_it_needs():
    command = [sys.executable, "-m", "experiments.mitbih.run"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--work" in ended.stderr


def test_the_table_command_writes_the_table_beside_the_results(tmp_path):
    (tmp_path / "results.json").write_bytes((FOLDER / "results.json").read_bytes())
    main([str(tmp_path / "results.json")])
    assert (tmp_path / "table.md").read_bytes() == (FOLDER / "table.md").read_bytes()


def test_the_results_of_eight_seeds_agree_with_the_others(results):
    eight = json.loads((FOLDER / "results_centralised_8_seeds.json").read_text())
    assert eight["configs"] == results["configs"]
    assert (FOLDER / "table_centralised_8_seeds.md").read_text() == render(eight)
    for seed in ("0", "1", "2"):
        assert eight["rows"]["centralised"]["seeds"][seed] == results["rows"]["centralised"]["seeds"][seed]
