"""The counts and tables of the experiment on synthetic samples, from fabricated runs."""

import json
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_curve

import bofl_jax as bofl
from experiments.common import contrasts
from experiments.synthesis import measure, results, table

CLASSES = ("N", "S", "V", "F")
CLIENTS = ("100", "101", "201", "202")  # the last two are one man
ARMS = ("none", "weights", "simulator-need-based-0.1")


def fabricate(folder, seed):
    """A run directory with what the tables read."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    label = rng.choice(4, 600, p=[0.6, 0.2, 0.15, 0.05]).astype(np.int32)
    client = rng.integers(0, 4, 600).astype(np.int32)
    arrays = {"label": label, "client": client, "client_names": np.array(CLIENTS), "classes": np.array(CLASSES)}
    for model in ("global", "personalised"):
        logits = rng.normal(size=(600, 4)) + 1.5 * np.eye(4)[label]
        arrays[f"{model}_probability"] = np.round(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 2)
    people = {"subject": client, "subject_names": np.array(CLIENTS), "person_names": np.array(CLIENTS)}
    np.savez(folder / "predictions.npz", **arrays, **people)
    counts = ",".join(f"train_{name}" for name in CLASSES)
    rows = [f"client,{counts},global_accuracy,personalised_accuracy", *(f"{name},5,4,3,2,," for name in CLIENTS)]
    (folder / "clients.csv").write_text("\n".join(rows) + "\n")
    (folder / "summary.json").write_text("{}")
    scores = {"membership": 0.5, "copies": 0.0, "utility": None}
    lines = [
        {"class": "S", "state": "approved", "used": 3, "failed": [], "scores": scores},
        {"class": "S", "state": "approved", "used": 0, "failed": ["validation"], "scores": scores | {"utility": 0.9}},
        {"class": "V", "state": "approved", "used": 0, "failed": ["diversity"], "scores": {}},
        {"class": "V", "state": "rejected", "used": 0},
    ]
    if "simulator" in folder.name:
        head = {"client": 0, "label": 1, "amount": 3, "reason": ""}
        requests = [{"request": number, **head, **line} for number, line in enumerate(lines, 1)]
        (folder / "synthesis.jsonl").write_text("".join(json.dumps(line) + "\n" for line in requests))
    return arrays


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Two seeds of three arms, and a third seed of one of them only."""
    folder = tmp_path_factory.mktemp("work")
    names = [(arm, seed) for arm in ARMS for seed in (0, 1)] + [("none", 2)]
    return folder, {
        (arm, seed): fabricate(folder / f"P1-{arm}-seed{seed}", 10 * ARMS.index(arm) + seed) for arm, seed in names
    }


@pytest.fixture(scope="module")
def rows(work, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrasts, "clustered_bootstrap", partial(contrasts.clustered_bootstrap, resamples=100))
        patch.setattr(measure, "paired_permutation", partial(measure.paired_permutation, permutations=99))
        table.main(["--work", str(work[0]), "--out", str(out)])
        first = {path.name: path.read_bytes() for path in out.iterdir()}
        table.main(["--out", str(out)])
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}
    written = json.loads(first["results.json"])["rows"]
    return {(row["arm"], row["model"]): row for row in written}, first


@pytest.mark.parametrize("draw", range(4))
def test_curves_agree_with_scikit_learn(draw):
    rng = np.random.default_rng(draw)
    positive = rng.random(2000) < 0.1
    score, person = np.round(0.7 * rng.random(2000) + 0.3 * positive, 2), rng.integers(0, 7, 2000)
    weight = np.stack([np.ones(7, int), rng.integers(0, 4, 7)])
    found = results.curves(score, positive, person, weight)
    for repeats, (area, best) in zip(weight, found.T, strict=True):
        assert area == pytest.approx(average_precision_score(positive, score, sample_weight=repeats[person]))
        false, true, _ = roc_curve(positive, score, sample_weight=repeats[person], drop_intermediate=False)
        assert best == pytest.approx(true[false <= 0.05].max())


def test_without_a_sample_of_the_class_there_is_no_curve():
    weight = np.array([[1, 1], [0, 2]])
    found = results.curves(np.array([0.9, 0.1]), np.array([True, False]), np.array([0, 1]), weight)
    np.testing.assert_array_equal(np.isnan(found), [[False, True], [False, True]])


def test_a_row_is_the_mean_over_the_seeds_that_all_arms_have(rows, work):
    for arm in ARMS:
        for model in ("global", "personalised"):
            row = rows[0][arm, model]
            truth = [
                f1_score(run["label"], run[f"{model}_probability"].argmax(1), average="macro")
                for run in (work[1][arm, seed] for seed in (0, 1))
            ]
            assert (row["seeds"], row["people"]) == (2, 3)
            assert row["metrics"]["macro_f1"]["mean"] == pytest.approx(np.mean(truth), rel=1e-6)
            assert row["metrics"]["macro_f1"]["sd"] == pytest.approx(np.std(truth, ddof=1), rel=1e-4)
            low, high = row["metrics"]["macro_f1"]["interval"]
            assert low < row["metrics"]["macro_f1"]["mean"] < high


def test_differences_are_from_no_balancing(rows):
    none, other = (rows[0][arm, "global"]["metrics"]["macro_f1"]["mean"] for arm in ("none", "weights"))
    gap = rows[0]["weights", "global"]["difference"]
    assert gap["mean"] == pytest.approx(other - none)
    assert gap["p"] <= gap["p_holm"] <= 1
    assert "difference" not in rows[0]["none", "global"]


@pytest.mark.parametrize("arm", ARMS[1:])
def test_gains_agree_with_people_drawn_one_by_one(work, rows, arm):
    """Every draw of people is written out as a larger test, and scikit-learn measures both arms on it."""
    repeats, draw = np.unique(results.draw_people(3), axis=0, return_inverse=True)  # three people: few draws differ
    for model in results.MODELS:
        gains = rows[0][arm, model]["gains"]
        assert (gains["from"], list(gains["metrics"])) == ("none", ["auprc_S", "auprc_V", "auprc_F"])
        for k, name in enumerate(CLASSES[1:], start=1):
            mine, other = (
                np.mean([areas(work[1][one, seed], model, k, repeats) for seed in (0, 1)], axis=0)
                for one in (arm, "none")
            )
            gap, found = (mine - other)[draw.ravel()], gains["metrics"][f"auprc_{name}"]
            assert found["mean"] == pytest.approx(gap[0], abs=2e-7)  # float32 keeps seven digits of each arm
            assert found["interval"] == pytest.approx(np.quantile(gap, [0.025, 0.975]).tolist(), abs=2e-7)


def areas(run, model, k, repeats):
    """float64[B]: average precision of a class, each person's beats copied as repeats as they were drawn."""
    person = np.array([0, 1, 2, 2])[run["client"]]  # records 201 and 202 are one man
    score, positive = run[f"{model}_probability"][:, k], run["label"] == k
    drawn = [np.repeat(np.arange(len(score)), one[person]) for one in repeats]
    return np.array([average_precision_score(positive[one], score[one]) for one in drawn])


def test_gains_and_contrasts_are_the_same_numbers(rows, tmp_path):
    """A pair in contrasts.md, of personal models, is the arm's gain in AUPRC of S."""
    (tmp_path / "pieces.npz").write_bytes(rows[1]["pieces.npz"])
    line = table.contrasts_table(results.load(tmp_path / "pieces.npz")).splitlines()[-1]
    gain = rows[0]["simulator-need-based-0.1", "personalised"]["gains"]["metrics"]["auprc_S"]
    assert line.split(" | ")[:3] == ["| P1", "simulator, need-based, 10%", "none"]
    assert line.split(" | ")[4] == table.shown(gain, "+")
    assert "gains" not in rows[0]["none", "personalised"]


def test_quality_scores_that_could_not_be_computed_are_written_as_none(rows):
    found = {(one["generator"], one["class"]): one for one in json.loads(rows[1]["results.json"])["generators"]}
    assert set(found) == {("simulator", name) for name in "SVF"}
    assert (found["simulator", "S"]["protocol"], found["simulator", "S"]["seeds"]) == ("P1", 2)
    known = {name: value for name, value in found["simulator", "S"]["scores"].items() if value is not None}
    assert known == pytest.approx({"membership": 0.5, "copies": 0.0, "utility": 0.9})
    assert set(found["simulator", "V"]["scores"].values()) == {None}


def test_requests_and_scores_are_counted(rows):
    outcome = rows[0]["simulator-need-based-0.1", "global"]["outcome"]
    assert outcome == {"asked": 4, "rejected": 1, "failed": 1, "refused": 1, "used": 3}
    text = rows[1]["privacy.md"].decode()
    assert "| P1 | simulator | S | 0.90 | not judged | not judged | not judged | 0.50" in text
    assert "| P1 | simulator | V | not judged |" in text


def test_without_a_run_the_command_is_named(tmp_path):
    with pytest.raises(bofl.BoflError, match=r"no complete run in .*experiments\.synthesis\.run --work"):
        results.collect(tmp_path)


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Results of arms and seeds of P1, by name."""
    folder = tmp_path_factory.mktemp("collected")

    def collect(name, arms, seeds):
        for arm in arms:
            for seed in seeds:
                fabricate(folder / name / f"P1-{arm}-seed{seed}", 100 + seed)
        return results.collect(folder / name)

    return {
        "fitted": collect("fitted", ["none", "weights", "simulator-need-based-0.1"], (0, 1)),
        "neural": collect("neural", ["gan-need-based-0.1", "simulator-need-based-0.1"], (0, 1)),
        "fewer": collect("fewer", ["gan-need-based-0.1"], (0,)),
    }


def test_merged_results_have_the_arms_of_both_in_the_order_of_the_plan(collected):
    neural, fitted = collected["neural"], collected["fitted"]
    found = results.merge(neural, fitted)
    assert found.arms("P1") == ["none", "weights", "simulator-need-based-0.1", "gan-need-based-0.1"]
    assert list(found.draws) == [("P1", arm) for arm in found.arms("P1")]
    assert [name for name in found.runs if name[1] == "none"] == [("P1", "none", 0), ("P1", "none", 1)]
    for arm, source in {"none": fitted, "simulator-need-based-0.1": neural, "gan-need-based-0.1": neural}.items():
        assert found.draws["P1", arm] is source.draws["P1", arm]
        assert all(found.runs["P1", arm, seed] is source.runs["P1", arm, seed] for seed in (0, 1))


def test_a_selection_has_the_wanted_arms_only(collected):
    found = results.select(collected["fitted"], ["P1", "P5"], ["none", "gan-need-based-0.1"])
    assert (list(found.runs), list(found.draws)) == ([("P1", "none", 0), ("P1", "none", 1)], [("P1", "none")])


def test_saved_results_are_read_unchanged(collected, tmp_path):
    results.save(collected["fitted"], tmp_path / "pieces.npz")
    found = results.load(tmp_path / "pieces.npz")
    assert found.classes == collected["fitted"].classes
    for name, counts in collected["fitted"].runs.items():
        for mine, other in zip(found.runs[name], counts, strict=True):
            np.testing.assert_array_equal(mine, other)
    for name, draws in collected["fitted"].draws.items():
        np.testing.assert_array_equal(found.draws[name], draws)


def test_without_saved_results_the_option_is_named(tmp_path):
    with pytest.raises(
        bofl.BoflError, match=r"pieces\.npz is missing: name the folder of the run directories with --work"
    ):
        results.load(tmp_path / "pieces.npz")


def test_arms_with_different_seeds_are_not_merged(collected):
    with pytest.raises(bofl.BoflError, match=r"P1 has seeds \[0\] in one part and \[0, 1\] in the other: run the same"):
        results.merge(collected["fewer"], collected["fitted"])
