"""Two metrics that this file registers, as a user's own file would: every place that shows metrics shows them."""

import csv
import json
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import recall_score

import bofl_jax as bofl
from bofl_jax.cli.console import summary_tables
from bofl_jax.core.errors import BoflError
from bofl_jax.figures import FIGURES, draw
from bofl_jax.metrics import METRICS, FromConfusion, Metric, map_matrices, recall, specificity
from bofl_jax.metrics.arithmetic import masked_mean
from bofl_jax.pages import report
from bofl_jax.pages import run as run_page
from bofl_jax.pages import sweep as sweep_page
from bofl_jax.results import read_run, read_sweep
from bofl_jax.sweep import Axis, sweep
from tests.support.tiny import read_rounds, run_tiny, tiny_config, write_arrays

LINEAR = {"model.name": "linear"}
MODELS = ("global", "personalised")


def mean_confidence(probability, label, mask):
    """float32[]: the mean of the highest probability."""
    del label
    return masked_mean(jnp.max(probability, axis=1), mask)


def informedness(matrix):
    """float32[K]: recall + specificity - 1 of each class."""
    return recall(matrix) + specificity(matrix) - 1


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Both metrics are registered, and removed again at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(METRICS, "_entries", dict(METRICS))
        bofl.register(Metric("mean_confidence", "mean confidence", mean_confidence, better="neither"))
        interval = partial(map_matrices, informedness)
        bofl.register(
            Metric("informedness", "informedness", FromConfusion(informedness), per_class=True, interval=interval)
        )
        yield


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


@pytest.fixture(scope="module")
def run(arrays, tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("own") / "run", arrays, LINEAR)


@pytest.fixture(scope="module")
def sweep_folder(arrays, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "out"
    sweep(lambda point: bofl.load_config(tiny_config(arrays), LINEAR | dict(point)), [Axis("seed", (0, 1))], out)
    return out


def cells(table):
    """The rows of a table of the console, by their first cell."""
    return {row[0]: row[1:] for row in zip(*(column.cells for column in table.columns), strict=True)}


def test_the_summary_and_every_tested_round_hold_them(run):
    with np.load(run.directory / "predictions.npz") as held:
        label, probabilities = held["label"], {model: held[f"{model}_probability"] for model in MODELS}
    for model, probability in probabilities.items():
        found = run.summary["test"][model]
        assert found["mean_confidence"] == pytest.approx(probability.max(axis=1).mean(), rel=1e-5)
        assert list(found)[-2:] == ["mean_confidence", "per_class"]
        predicted = probability.argmax(axis=1)
        for index, row in enumerate(found["per_class"].values()):
            sides = [recall_score(label == index, predicted == index, pos_label=side) for side in (True, False)]
            assert row["informedness"] == pytest.approx(sum(sides) - 1, abs=1e-6)
    assert "mean_confidence" in read_rounds(run.directory)[-1]["metrics"]


def test_the_console_prints_them(run):
    overall, classes, *_ = summary_tables(run.summary)
    values = [f"{run.summary['test'][model]['mean_confidence']:.3f}" for model in MODELS]
    assert list(cells(overall)["mean confidence"]) == values
    assert classes.columns[-1].header == "informedness"
    row = " / ".join(f"{run.summary['test'][model]['per_class']['S']['informedness']:.3f}" for model in MODELS)
    assert cells(classes)["S"][-1] == row


def test_the_tables_of_figures_show_them_with_intervals_over_people(run):
    results = read_run(run.directory)
    overall = FIGURES["summary"].builders["run"](results)
    assert "mean confidence" in [row[0] for row in overall.body]
    classes = FIGURES["classes"].builders["run"](results)
    assert classes.header[-1] == "informedness"
    row = next(row for row in classes.rows if (row["class"], row["model"]) == ("N", "global"))
    assert row["informedness"] == run.summary["test"]["global"]["per_class"]["N"]["informedness"]
    assert row["informedness low"] <= row["informedness"] <= row["informedness high"]
    assert row["informedness low"] < row["informedness high"]


def test_the_report_of_the_run_shows_them(run, tmp_path):
    data = run_page.page_data(run.directory)
    assert data["headline"][-1]["name"] == "Mean confidence"
    assert data["headline"][-1]["global"] == run.summary["test"]["global"]["mean_confidence"]
    assert data["class_metrics"]["informedness"] == "Informedness"
    assert all(f"{model}_informedness" in row for model in MODELS for row in data["per_class"])
    assert "Mean confidence" in report(run.directory, tmp_path / "report.html").read_text()


def test_the_tables_of_a_sweep_show_them(sweep_folder):
    with (sweep_folder / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        written = json.loads((sweep_folder / row["member"] / "summary.json").read_text())["test"]["global"]
        assert float(row["test.global.mean_confidence"]) == written["mean_confidence"]
        assert float(row["test.global.per_class.S.informedness"]) == written["per_class"]["S"]["informedness"]
    points = FIGURES["points"].builders["sweep"](read_sweep(sweep_folder))
    assert {"mean confidence", "informedness of S"} <= set(points.header)
    shown = sweep_page.page_data(sweep_folder)["shown"]
    assert {"test.personalised.mean_confidence", "test.global.per_class.N.informedness"} <= set(shown)


@pytest.fixture
def unregistered(run, monkeypatch):
    """The run's directory, where the file with the metrics was not imported."""
    kept = {key: metric for key, metric in METRICS.items() if key not in ("mean_confidence", "informedness")}
    monkeypatch.setattr(METRICS, "_entries", kept)
    return run.directory


MISSING = (
    r"^summary\.json holds metrics that are not registered \(mean_confidence, informedness\): import .* --import FILE$"
)


def test_an_audit_needs_the_same_registration(run):
    bofl.audit(run.directory)


def test_an_audit_names_metrics_that_are_not_registered(unregistered):
    with pytest.raises(BoflError, match=MISSING):
        bofl.audit(unregistered)


def test_a_report_names_metrics_that_are_not_registered(unregistered, tmp_path):
    with pytest.raises(BoflError, match=MISSING):
        report(unregistered, tmp_path / "report.html")


def test_figures_leave_out_metrics_that_are_not_registered_in_one_line(unregistered, tmp_path):
    lines = []
    draw(unregistered, tmp_path, warn=lines.append)
    note = "metrics left out: mean_confidence, informedness; import the file that registers them with --import FILE"
    assert lines[0] == note
