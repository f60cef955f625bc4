"""Scores by time of the recording: every number against a plain loop, every interval against that of the bin alone."""

import matplotlib
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from bofl_jax.figures import FIGURES, Unavailable
from bofl_jax.figures.intervals import person_interval
from bofl_jax.figures.runs.drift import MAX_BINS, MIN_BINS, time_bins
from bofl_jax.metrics import accuracy, macro_f1, recall
from bofl_jax.results import Predictions, read_run
from tests.figures.test_layout import check, styled

__all__ = ["styled"]  # the fixture: every figure has the style that it is written with
MODELS = ("global", "personalised")
MINUTES = [(5 + 3 * n, 8 + 3 * n) for n in range(9)]  # of the finished run, whose test lasts from 5.1 to 30.1 min


def make(run):
    return FIGURES["drift"].builders["run"](run)


def change(folder, **changes):
    """Rewrite arrays of the predictions; what becomes None is left out."""
    with np.load(folder / "predictions.npz") as file:
        arrays = dict(file) | changes
    np.savez(folder / "predictions.npz", **{name: array for name, array in arrays.items() if array is not None})
    return read_run(folder)


def only(predictions, chosen):
    """The samples of a list of numbers, taken one array at a time."""
    label, person, client, time = (
        np.array([array[n] for n in chosen])
        for array in (predictions.label, predictions.person, predictions.client, predictions.time)
    )
    probability = [np.array([predictions.models[model][n] for n in chosen]) for model in MODELS]
    return Predictions(label, person, predictions.classes, *probability, client, time)


def test_every_bin_has_the_scores_and_intervals_of_its_samples(run):
    rows = make(run).rows
    assert [(row["model"], row["start (s)"], row["end (s)"]) for row in rows] == [
        (model, 60 * start, 60 * end) for start, end in MINUTES for model in MODELS
    ]
    predictions = run.predictions
    for row in rows:
        chosen = [n for n, time in enumerate(predictions.time) if row["start (s)"] <= time < row["end (s)"]]
        part = only(predictions, chosen)
        predicted = part.models[row["model"]].argmax(axis=1)
        present = np.unique(part.label)
        assert row["samples"] == len(chosen) == sum(row[f"samples of {name}"] for name in "NSVF")
        assert row["samples of S"] == list(part.label).count(1)
        assert row["people"] == len(set(part.person.tolist()))
        assert row["mean time (s)"] == pytest.approx(sum(part.time) / len(chosen), rel=1e-12)
        # the same quotients of whole numbers, so that only the order of rounding differs
        assert row["accuracy"] == pytest.approx(accuracy_score(part.label, predicted), rel=1e-12)
        expected = f1_score(part.label, predicted, labels=present, average="macro", zero_division=0)
        assert row["macro-F1"] == pytest.approx(expected, rel=1e-12)
        for name, metric in (("accuracy", accuracy), ("macro-F1", macro_f1)):
            low, high = person_interval(part, row["model"], metric)
            assert (row[f"{name} low"], row[f"{name} high"]) == (low, high)
            assert low < high
    assert sum(row["samples"] for row in rows) == 2 * len(predictions.label)


def test_all_samples_are_a_part_with_the_intervals_of_the_whole(run):
    whole = run.predictions
    part = whole.part(np.ones(len(whole.label), bool))
    for model in MODELS:
        expected = person_interval(whole, model, recall)
        np.testing.assert_array_equal(person_interval(part, model, recall), expected)


@pytest.mark.parametrize("last", [1.0, 11.9, 12.0, 24.9, 25.0, 30.1, 36.0, 1440.0])
@pytest.mark.parametrize("first", [0.0, 5.1])
def test_bins_are_equal_whole_minutes_and_hold_every_sample(first, last):
    time = 60 * np.append(np.linspace(first, first + last, 500), np.floor(first) + np.arange(1, 9))
    member, edges = time_bins(time)
    assert len(edges) - 1 <= MAX_BINS
    assert len(set(np.diff(edges).tolist())) == 1
    assert not (edges % 60).any()
    assert [place for place, t in zip(member, time, strict=True) if not edges[place] <= t < edges[place + 1]] == []
    assert len(np.unique(member)) == len(edges) - 1, "none of them is empty"
    minutes = np.floor(time.max() / 60) - np.floor(time.min() / 60) + 1
    narrower = (edges[1] - edges[0]) / 60 - 1
    assert narrower == 0 or np.ceil(minutes / narrower) > MAX_BINS, "narrower bins would be too many"


def test_the_lines_and_bands_are_the_rows(run):
    drawing = make(run)
    assert [axis.get_ylabel() for axis in drawing.figure.axes] == ["accuracy on the test", "macro-F1 on the test"]
    for axis, name in zip(drawing.figure.axes, ("accuracy", "macro-F1"), strict=True):
        for model, line, band in zip(MODELS, axis.lines, axis.collections, strict=True):
            rows = [row for row in drawing.rows if row["model"] == model]
            assert line.get_label() == model
            np.testing.assert_array_equal(line.get_xdata(), [row["mean time (s)"] / 60 for row in rows])
            np.testing.assert_array_equal(line.get_ydata(), [row[name] for row in rows])
            ends = band.get_paths()[0].vertices[:, 1]
            assert ends.min() == min(row[f"{name} low"] for row in rows)
            assert ends.max() == max(row[f"{name} high"] for row in rows)


def test_the_caption_says_how_many(copy):
    before = read_run(copy).predictions
    absent = (before.time >= 840) & (before.time < 1020) & (before.client < 3)
    drawing = make(change(copy, time=np.where(absent, 400.0, before.time)))
    samples = [row["samples"] for row in drawing.rows]
    assert "in bins of 3 min from minute 5 on" in drawing.caption
    assert f": 41 to 44 people and {min(samples)} to {max(samples)} samples a bin" in drawing.caption


def test_a_bin_of_one_person_has_no_score_and_interrupts_the_line(copy):
    before = read_run(copy).predictions
    lonely = (before.time >= 840) & (before.time < 1020)  # the fourth bin
    drawing = make(change(copy, time=np.where(lonely & (before.client > 0), 400.0, before.time)))
    rows = [row for row in drawing.rows if row["start (s)"] == 840]
    assert [row["people"] for row in rows] == [1, 1]
    assert rows[0]["samples"] == (lonely & (before.client == 0)).sum() > 0
    for row in rows:
        assert np.isnan(
            [row[f"{name}{end}"] for name in ("accuracy", "macro-F1") for end in ("", " low", " high")]
        ).all()
    for line in drawing.figure.axes[0].lines:
        assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [3]
    assert ": 44 people and" in drawing.caption, "of the bins that count"
    check("drift", drawing.figure)


@pytest.mark.parametrize("models", [("global",), ("personalised",)])
def test_a_model_alone_is_drawn_alone(make_run, tmp_path, models):
    drawing = make(read_run(make_run(tmp_path / "run", clients=5, rounds=3, models=models)))
    assert [text.get_text() for text in drawing.figure.legends[0].get_texts()] == list(models)
    assert {row["model"] for row in drawing.rows} == set(models)
    check("drift", drawing.figure)


def test_without_times_there_is_no_figure_but_the_run_is_read(copy):
    reason = Unavailable("the test samples have no times, or all the same")
    length = len(read_run(copy).predictions.label)
    assert make(change(copy, time=np.full(length, 7.0))) == reason
    run = change(copy, time=None)
    assert np.isnan(run.predictions.time).all()
    assert make(run) == reason


def test_a_test_of_few_minutes_or_of_one_person_has_no_figure(copy, make_run, tmp_path):
    length = len(read_run(copy).predictions.label)
    reason = f"the test covers fewer than {MIN_BINS} bins of whole minutes with two people or more in each"
    assert make(change(copy, time=60.0 + np.arange(length) % 120)) == Unavailable(reason)
    rows = make(change(copy, time=60.0 + np.arange(length) % 121)).rows  # every 121st in the third minute
    assert [row["start (s)"] for row in rows] == [60, 60, 120, 120, 180, 180]
    assert make(read_run(make_run(tmp_path / "one", clients=1, rounds=1))) == Unavailable(reason)


def test_without_probabilities_there_is_no_figure(copy):
    run = change(copy, global_probability=None, personalised_probability=None)
    assert make(run) == Unavailable("no model has probabilities")


def test_the_layout(run):
    check("drift", make(run).figure)
    assert matplotlib.rcParams["font.size"] == 8, "the style was on"
