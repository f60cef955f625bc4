"""Figures of whole run directories: what is written, that it repeats to the byte, and what is left out."""

import json
import shutil
import struct
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bofl_jax.core.errors import BoflError
from bofl_jax.evaluate import fairness
from bofl_jax.figures import FIGURES, Skip, draw
from bofl_jax.figures.clients import spread
from bofl_jax.figures.per_class import subject_interval
from bofl_jax.figures.reading import Predictions, read_run

ALL = {f"{name}.{form}" for name in FIGURES for form in ("png", "pdf")}


@pytest.fixture(scope="module")
def drawn(finished_run, tmp_path_factory):
    """Every file that one drawing wrote, by name."""
    out = tmp_path_factory.mktemp("drawn")
    return {path.name: path.read_bytes() for path in draw(finished_run, out)}


@pytest.fixture
def copy(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


def test_every_figure_is_written_in_both_formats(copy):
    written = draw(copy)
    assert {path.name for path in written} == ALL
    assert {path.name for path in (copy / "figures").iterdir()} == ALL
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"%PDF")


def test_png_has_200_dots_per_inch_and_column_width(drawn):
    for name, data in drawn.items():
        if name.endswith(".png"):
            assert struct.unpack(">I", data[16:20])[0] == 680, "3.4 inches"
            at = data.index(b"pHYs") + 4
            assert struct.unpack(">I", data[at : at + 4])[0] == round(200 / 0.0254)


def test_same_files_give_the_same_bytes_in_another_process_and_folder(drawn, copy, tmp_path):
    script = "import sys; from pathlib import Path; from bofl_jax.figures import draw; draw(*map(Path, sys.argv[1:]))"
    environment = {"PYTHONHASHSEED": "7", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    other = tmp_path / "other" / "place"
    subprocess.run([sys.executable, "-c", script, str(copy), str(other)], check=True, env=environment)
    assert {path.name: path.read_bytes() for path in other.iterdir()} == drawn


def test_the_callers_matplotlib_settings_neither_matter_nor_change(drawn, copy):
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert {path.name: path.read_bytes() for path in draw(copy)} == drawn
        assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_imported():
    code = "import sys, bofl_jax.figures; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ledger_off_is_said_and_skipped(make_run, tmp_path):
    said = []
    written = draw(make_run(tmp_path / "off", clients=5, rounds=3, mode="off"), say=said.append)
    assert said == ["ledger left out: ledger off"]
    assert {path.name for path in written} == {name for name in ALL if not name.startswith("ledger")}


def test_without_personalisation_the_global_model_is_drawn_alone(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "global", clients=5, rounds=3, models=("global",)))
    figure = FIGURES["clients"](run)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split(":")[0] for label in labels] == ["global"]
    assert [text.get_text() for text in FIGURES["per_class"](run).legends[0].get_texts()] == ["global"]


def test_local_training_draws_the_personal_models_and_the_loss(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "local", clients=5, rounds=3, models=("personalised",)))
    assert FIGURES["clients"](run).axes[0].get_xlabel() == "client, sorted by personalised accuracy"
    assert [axis.get_ylabel() for axis in FIGURES["convergence"](run).axes] == ["training loss (nats)"]


def test_convergence_shows_the_evaluated_rounds(finished_run):
    loss, quality = FIGURES["convergence"](read_run(finished_run)).axes
    assert loss.lines[0].get_xdata().tolist() == list(range(1, 51))
    assert [line.get_label() for line in quality.lines] == ["accuracy", "macro-F1"]
    assert quality.lines[1].get_xdata().tolist() == list(range(5, 51, 5))
    last = json.loads((finished_run / "rounds.jsonl").read_text().splitlines()[-1])
    assert quality.lines[1].get_ydata()[-1] == last["metrics"]["macro_f1"]


def test_bars_are_the_written_recall_and_precision_and_ticks_carry_the_support(finished_run):
    written = json.loads((finished_run / "summary.json").read_text())["test"]
    axes = FIGURES["per_class"](read_run(finished_run)).axes
    for axis, quantity in zip(axes, ("recall", "precision"), strict=True):
        expected = [row[quantity] for model in written.values() for row in model["per_class"].values()]
        np.testing.assert_allclose([bar.get_height() for bar in axis.patches], expected)
    ticks = [label.get_text() for label in axes[1].get_xticklabels()]
    assert ticks == [f"{name}\n{row['support']:,}" for name, row in written["global"]["per_class"].items()]


def test_a_class_without_samples_is_marked_not_drawn_as_zero(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "q", clients=5, rounds=2, classes=("N", "S", "V", "F", "Q")))
    for axis in FIGURES["per_class"](run).axes:
        assert [text.get_text() for text in axis.texts] == ["n/a", "n/a"]
        assert len(axis.patches) == 8


def test_clients_are_sorted_before_and_stay_paired_after(finished_run):
    run = read_run(finished_run)
    axis = FIGURES["clients"](run).axes[0]
    before, after = (line.get_ydata() for line in axis.lines if len(line.get_ydata()) == 44)
    assert (np.diff(before) >= 0).all()
    pairs = set(zip(run.clients.global_accuracy, run.clients.personalised_accuracy, strict=True))
    assert set(zip(before, after, strict=True)) == pairs


@pytest.mark.parametrize("clients", [1, 10, 44])
def test_spread_in_the_legend_is_the_fairness_of_the_evaluation(clients):
    values = np.random.default_rng(clients).random(clients)
    expected = fairness(values.astype(np.float32), np.ones(clients, bool))
    np.testing.assert_allclose(
        spread(values), [expected.worst_10_percent, expected.sd, expected.jain], rtol=1e-5, atol=1e-7
    )


def test_clients_without_test_samples_are_left_out(copy):
    lines = (copy / "clients.csv").read_text().splitlines()
    lines[3] = ",".join(lines[3].split(",")[:-4]) + ",,,,"
    (copy / "clients.csv").write_text("\n".join(lines) + "\n")
    axis = FIGURES["clients"](read_run(copy)).axes[0]
    assert [len(line.get_ydata()) for line in axis.lines if len(line.get_ydata()) > 2] == [43, 43]


def test_a_run_with_nothing_to_show_skips_every_figure_and_says_why(copy):
    (copy / "rounds.jsonl").write_text('{"round": 1, "loss": null}\n')
    (copy / "clients.csv").write_text("client,global_accuracy,personalised_accuracy\na,,\n")
    (copy / "summary.json").write_text('{"test": {"global": null, "personalised": null}, "ledger": {"mode": "merkle"}}')
    run = read_run(copy)
    assert all(isinstance(figure(run), Skip) for figure in FIGURES.values())
    said = []
    assert draw(copy, say=said.append) == []
    assert len(said) == len(FIGURES)


@pytest.mark.parametrize("name", ["gas", "cpu_ms"])
def test_rounds_without_one_of_the_ledger_costs_have_no_ledger_figure(copy, name):
    text = (copy / "rounds.jsonl").read_text()
    (copy / "rounds.jsonl").write_text(text.replace(f'"{name}"', '"other"'))
    assert FIGURES["ledger"](read_run(copy)) == Skip("no round has ledger costs")


def test_an_unwritable_folder_is_refused(copy, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BoflError, match="give a writable folder"):
        draw(copy, tmp_path / "file" / "figures")


def test_each_figure_is_a_figure(finished_run):
    run = read_run(finished_run)
    assert all(isinstance(figure(run), Figure) for figure in FIGURES.values())


def interval_case(subjects: int, samples: int, rate: float) -> Predictions:
    """Subjects whose samples are all right or all wrong: the subject bootstrap then has a closed form."""
    right = np.arange(subjects) < rate * subjects
    subject = np.repeat(np.arange(subjects), samples)
    probability = np.eye(2, dtype=np.float32)[np.where(right[subject], 0, 1)]
    return Predictions(np.zeros(len(subject), np.int32), subject, ("N", "V"), probability, None)


def test_interval_is_over_subjects_however_many_samples_each_has():
    """Recall is a binomial proportion of 100 subjects: 0.8 +- 1.96 sqrt(.16/100) = [.722, .878], not of samples."""
    for samples in (1, 50):
        low, high = subject_interval(interval_case(100, samples, 0.8), "global", "recall")
        # 2 000 draws leave the percentiles uncertain by about .005, and they move in steps of .01
        np.testing.assert_allclose([low[0], high[0]], [0.722, 0.878], atol=0.02)
        assert np.isnan([low[1], high[1]]).all()


def test_interval_needs_two_subjects_and_a_model():
    assert subject_interval(interval_case(1, 9, 1.0), "global", "recall") is None
    assert subject_interval(interval_case(9, 1, 1.0), "personalised", "recall") is None
