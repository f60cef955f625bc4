"""Figures and tables of one run: what they show is what was written, and what they compute agrees with an oracle."""

import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from bofl_jax import metrics
from bofl_jax.figures import FIGURES, Unavailable
from bofl_jax.figures.intervals import person_interval
from bofl_jax.figures.runs.conformal import FOLDS, LEVEL, client_coverage
from bofl_jax.figures.runs.precision_recall import precision_recall_curve, rare_classes
from bofl_jax.metrics import reliability_points, risk_coverage_points
from bofl_jax.results import Predictions, read_run
from tests.figures.builders import write_explanations, write_requests

MODELS = ("global", "personalised")


def make(name, run):
    return FIGURES[name].builders["run"](run)


def test_without_personalisation_the_global_model_is_drawn_alone(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "global", clients=5, rounds=3, models=("global",)))
    labels = [text.get_text() for text in make("clients", run).figure.legends[0].get_texts()]
    assert [label.split(":")[0] for label in labels] == ["global"]
    for name in ("per_class", "calibration", "conformal", "precision_recall"):
        assert [text.get_text() for text in make(name, run).figure.legends[0].get_texts()] == ["global"]
    assert make("summary", run).header == ("test", "global")


def test_local_training_draws_the_personal_models_and_the_loss(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "local", clients=5, rounds=3, models=("personalised",)))
    assert make("clients", run).figure.axes[0].get_xlabel() == "client, sorted by personalised accuracy"
    assert [axis.get_ylabel() for axis in make("convergence", run).figure.axes] == ["training loss (nats)"]


def test_convergence_shows_the_evaluated_rounds(run, finished_run):
    drawing = make("convergence", run)
    loss, quality = drawing.figure.axes
    assert loss.lines[0].get_xdata().tolist() == list(range(1, 51))
    assert [line.get_label() for line in quality.lines] == ["accuracy", "macro-F1"]
    assert quality.lines[1].get_xdata().tolist() == list(range(5, 51, 5))
    last = json.loads((finished_run / "rounds.jsonl").read_text().splitlines()[-1])
    assert quality.lines[1].get_ydata()[-1] == last["metrics"]["macro_f1"] == drawing.rows[-1]["macro-F1"]


def test_bars_are_the_written_recall_and_precision_and_ticks_carry_the_support(run, finished_run):
    written = json.loads((finished_run / "summary.json").read_text())["test"]
    axes = make("per_class", run).figure.axes
    for axis, quantity in zip(axes, ("recall", "precision"), strict=True):
        expected = [row[quantity] for model in written.values() for row in model["per_class"].values()]
        np.testing.assert_allclose([bar.get_height() for bar in axis.patches], expected)
    ticks = [label.get_text() for label in axes[1].get_xticklabels()]
    assert ticks == [f"{name}\n{row['support']:,}" for name, row in written["global"]["per_class"].items()]


def test_a_class_without_samples_is_marked_not_drawn_as_zero(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "q", clients=5, rounds=2, classes=("N", "S", "V", "F", "Q")))
    for axis in make("per_class", run).figure.axes:
        assert [text.get_text() for text in axis.texts] == ["n/a", "n/a"]
        assert len(axis.patches) == 8
    assert [row[3:6] for row in make("classes", run).body if row[0] == "Q"] == [("", "", "")] * 2


def test_clients_are_sorted_before_and_stay_paired_after(run):
    axis = make("clients", run).figure.axes[0]
    before, after = (line.get_ydata() for line in axis.lines if len(line.get_ydata()) == 44)
    assert (np.diff(before) >= 0).all()
    pairs = set(zip(run.clients.global_accuracy, run.clients.personalised_accuracy, strict=True))
    assert set(zip(before, after, strict=True)) == pairs


def test_the_legend_of_clients_says_how_evenly_accuracies_are_distributed(run):
    legend = make("clients", run).figure.legends[0].get_texts()
    for text, values in zip(legend, (run.clients.global_accuracy, run.clients.personalised_accuracy), strict=True):
        worst = np.sort(values)[:5].mean()  # 10 % of 44, rounded up
        jain = values.sum() ** 2 / (44 * np.sum(values**2))
        assert text.get_text().endswith(f"worst 10 % {worst:.3f}, sd {values.std():.3f}, Jain {jain:.4f}")


def test_clients_without_test_samples_are_left_out(copy):
    lines = (copy / "clients.csv").read_text().splitlines()
    lines[3] = ",".join(lines[3].split(",")[:-4]) + ",,,,"
    (copy / "clients.csv").write_text("\n".join(lines) + "\n")
    drawing = make("clients", read_run(copy))
    assert [len(line.get_ydata()) for line in drawing.figure.axes[0].lines if len(line.get_ydata()) > 2] == [43, 43]
    assert len(drawing.rows) == 43


@pytest.mark.parametrize("name", ["gas", "cpu_ms"])
def test_rounds_without_one_of_the_ledger_costs_have_no_ledger_figure(copy, name):
    text = (copy / "rounds.jsonl").read_text()
    (copy / "rounds.jsonl").write_text(text.replace(f'"{name}"', '"other"'))
    assert make("ledger", read_run(copy)) == Unavailable("no round has ledger costs")


def test_the_ledgers_time_is_split_where_hashing_was_measured(run, copy):
    assert [len(axis.lines) for axis in make("ledger", run).figure.axes] == [1, 2]
    text = (copy / "rounds.jsonl").read_text()
    (copy / "rounds.jsonl").write_text(text.replace('"digest_ms"', '"other"'))
    assert [len(axis.lines) for axis in make("ledger", read_run(copy)).figure.axes] == [1, 1]


def test_precision_recall_is_scikit_learns_with_its_mark(run):
    for name in rare_classes(run.predictions):
        index = run.predictions.classes.index(name)
        positive, score = run.predictions.label == index, run.predictions.global_probability[:, index]
        found = precision_recall_curve(positive, score)
        precision, recall, _ = sklearn_metrics.precision_recall_curve(positive, score)
        best = {r: max(precision[recall == r]) for r in set(recall.tolist())}
        assert [best[r] for r in found.recall.tolist()] == found.precision.tolist()
        assert found.area == sklearn_metrics.average_precision_score(positive, score)
        reached = max(  # by hand: the best recall over all thresholds with few enough false positives
            np.mean(score[positive] >= t) for t in np.unique(score) if np.mean(score[~positive] < t) >= 0.95
        )
        np.testing.assert_allclose(found.operating_point[0], reached, rtol=1e-12)  # quotients of the same whole numbers


def test_rare_classes_are_all_that_have_samples_but_the_most_frequent(run):
    assert rare_classes(run.predictions) == ["S", "V", "F"]


def test_reliability_has_the_written_calibration_error(run, finished_run):
    written = json.loads((finished_run / "summary.json").read_text())["test"]
    for model, probability in run.predictions.models.items():
        confidence, accuracy, count = reliability_points(probability, run.predictions.label)
        assert count.sum() == len(run.predictions.label)
        error = np.sum(count * abs(confidence - accuracy)) / count.sum()
        np.testing.assert_allclose(error, written[model]["ece"], rtol=1e-4)  # that one is float32


def test_risk_is_the_share_of_errors_among_the_most_confident():
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(3), 60).round(1).astype(np.float32)  # with ties
    label = rng.integers(0, 3, 60).astype(np.int32)
    confidence, wrong = probability.max(axis=1), probability.argmax(axis=1) != label
    levels = sorted(set(confidence), reverse=True)
    coverage, risk, area = risk_coverage_points(probability, label)
    np.testing.assert_allclose(coverage, [np.mean(confidence >= level) for level in levels])
    np.testing.assert_allclose(risk, [wrong[confidence >= level].mean() for level in levels])
    share = [np.mean(confidence == level) for level in levels]
    np.testing.assert_allclose(area, np.dot(risk, share))


def exchangeable(clients, samples, seed):
    rng = np.random.default_rng(seed)
    client = np.repeat(np.arange(clients), samples).astype(np.int32)
    probability = rng.dirichlet(np.full(4, 0.5), len(client)).astype(np.float32)
    label = (probability.cumsum(axis=1) > rng.random((len(client), 1))).argmax(axis=1).astype(np.int32)
    return Predictions(label, client, tuple("NSVF"), probability, None, client, np.zeros(len(label)))


def test_conformal_sets_reach_their_level_when_clients_are_exchangeable():
    coverage, _ = client_coverage(exchangeable(40, 100, 0), exchangeable(40, 100, 0).global_probability)
    # 4 000 samples: sd sqrt(.09 / 4000) = .0047 for the test and as much for the threshold; three of them
    assert abs(coverage.mean() - LEVEL) < 3 * 0.0067


def test_conformal_by_client_is_a_plain_loop():
    given = exchangeable(13, 7, 1)
    coverage, size = client_coverage(given, given.global_probability)
    for client in range(13):
        others = [c % FOLDS != client % FOLDS for c in given.client]
        true = sorted(1 - given.global_probability[others, given.label[others]])
        limit = true[int(np.ceil((len(true) + 1) * LEVEL)) - 1]
        own = given.client == client
        inside = 1 - given.global_probability[own] <= limit
        np.testing.assert_allclose(coverage[client], inside[np.arange(7), given.label[own]].mean())
        np.testing.assert_allclose(size[client], inside.sum(axis=1).mean())


def test_explanations_colour_each_beats_own_largest_attribution(copy):
    write_explanations(copy, count=8)
    drawing = make("explanations", read_run(copy))
    beats = [axis.collections[0] for axis in drawing.figure.axes if axis.collections and axis.get_title()]
    assert len(beats) == 6
    assert all(0.9 < np.abs(beat.get_array()).max() <= 1 for beat in beats)  # a piece is the mean of its two ends
    assert len(drawing.rows) == 8 * 160
    assert drawing.figure.axes[0].get_title() == "100: N, predicted F (0.25)"


def test_explanations_without_any_attribution_are_grey(copy):
    write_explanations(copy, count=1)
    with np.load(copy / "explanations.npz") as file:
        arrays = dict(file)
    np.savez(copy / "explanations.npz", **arrays | {"attribution": np.zeros_like(arrays["x"])})
    drawing = make("explanations", read_run(copy))
    assert not drawing.figure.axes[0].collections[0].get_array().any()


def test_requests_are_counted_by_outcome(copy):
    write_requests(copy)
    drawing = make("synthesis", read_run(copy))
    found = {(row["class"], row["outcome"]): row["samples"] for row in drawing.rows if row["samples"]}
    assert found == {
        ("S", "used"): 10,
        ("S", "failed a gate"): 8,
        ("V", "refused by the contract"): 6,
        ("V", "no gain on the client's folds"): 4,
        ("F", "not decided"): 3,
        ("F", "used"): 12,
        ("F", "failed a gate"): 8,
    }
    assert sum(bar.get_width() for bar in drawing.figure.axes[0].patches) == 51
    assert "distance 1" in drawing.caption


def test_data_are_the_counts_of_the_clients(run):
    table = make("data", run)
    train, test = table.rows
    counts = np.bincount(run.predictions.label, minlength=4)
    assert [test[name] for name in "NSVF"] == counts.tolist()
    assert test["samples"] == len(run.predictions.label)
    assert train["clients"] == 44
    assert table.body[1][2] == f"{len(run.predictions.label):,}"


@pytest.mark.parametrize("model", MODELS)
def test_points_from_confusions_are_those_of_the_summary(run, finished_run, model):
    """What the intervals are computed with is what was written (in float32)."""
    written = json.loads((finished_run / "summary.json").read_text())["test"][model]
    matrix = sklearn_metrics.confusion_matrix(run.predictions.label, run.predictions.models[model].argmax(axis=1))
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        np.testing.assert_allclose(getattr(metrics, name)(matrix), written[name], rtol=1e-5)
    for name in ("recall", "precision", "f1"):
        expected = [row[name] for row in written["per_class"].values()]
        np.testing.assert_allclose(getattr(metrics, name)(matrix), expected, rtol=1e-5)


def test_summary_holds_every_number_and_intervals_around_them(run, finished_run):
    written = json.loads((finished_run / "summary.json").read_text())
    table = make("summary", run)
    rows = {(row["quantity"], row["model"]): row for row in table.rows}
    assert rows["macro-F1", "global"]["value"] == written["test"]["global"]["macro_f1"]
    assert rows["client accuracy, Jain", "personalised"]["value"] == written["fairness"]["personalised"]["jain"]
    for name in ("accuracy", "balanced accuracy", "macro-F1"):
        row = rows[name, "global"]
        assert row["low"] < row["value"] < row["high"]
    assert np.isnan(rows["ECE", "global"]["low"])


def interval_case(people: int, samples: int, rate: float) -> Predictions:
    """People whose samples are all right or all wrong: the bootstrap over people then has a closed form."""
    right = np.arange(people) < rate * people
    person = np.repeat(np.arange(people), samples)
    probability = np.eye(2, dtype=np.float32)[np.where(right[person], 0, 1)]
    label, time = np.zeros(len(person), np.int32), np.zeros(len(person))
    return Predictions(label, person, ("N", "V"), probability, None, person, time)


def test_interval_is_over_people_however_many_samples_each_has():
    """Recall is a binomial proportion of 100 people: 0.8 +- 1.96 sqrt(.16/100) = [.722, .878], not of samples."""
    for samples in (1, 50):
        low, high = person_interval(interval_case(100, samples, 0.8), "global", metrics.recall)
        # 2 000 draws leave the percentiles uncertain by about .005, and they move in steps of .01
        np.testing.assert_allclose([low[0], high[0]], [0.722, 0.878], atol=0.02)
        assert np.isnan([low[1], high[1]]).all()


def test_interval_needs_two_people_and_a_model():
    assert person_interval(interval_case(1, 9, 1.0), "global", metrics.recall) is None
    assert person_interval(interval_case(9, 1, 1.0), "personalised", metrics.recall) is None
