"""The pieces and tables of the experiment on synthetic samples, from fabricated runs."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_curve

FOLDER = Path(__file__).parents[2] / "experiments" / "synthesis"
CLASSES = ("N", "S", "V", "F")
CLIENTS = ("100", "101", "201", "202")  # the last two are one man
ARMS = ("none", "weights", "simulator-need-based-0.1")


@pytest.fixture(scope="module")
def scripts():
    """The experiment's modules; other experiments have modules of the same names."""
    sys.path.insert(0, str(FOLDER))
    own = ("plan", "pieces", "table")
    hidden = {name: sys.modules.pop(name) for name in own if name in sys.modules}
    import pieces
    import table

    yield pieces, table
    sys.path.remove(str(FOLDER))
    for name in own:
        sys.modules.pop(name, None)
    sys.modules.update(hidden)


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
    np.savez(folder / "predictions.npz", **arrays)
    rows = ["client," + ",".join(f"train_{name}" for name in CLASSES), *(f"{name},5,4,3,2" for name in CLIENTS)]
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
        (folder / "synthesis.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
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
def rows(scripts, work, tmp_path_factory):
    _, table = scripts
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "clustered_bootstrap", partial(table.clustered_bootstrap, resamples=100))
        patch.setattr(table, "paired_permutation", partial(table.paired_permutation, permutations=99))
        patch.setattr(sys, "argv", ["table.py", "--work", str(work[0]), "--out", str(out)])
        table.main()
        first = {path.name: path.read_bytes() for path in out.iterdir()}
        patch.setattr(sys, "argv", ["table.py", "--out", str(out)])
        table.main()
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}
    written = json.loads(first["results.json"])["rows"]
    return {(row["arm"], row["model"]): row for row in written}, first


@pytest.mark.parametrize("draw", range(4))
def test_curves_are_those_of_scikit_learn(scripts, draw):
    pieces, _ = scripts
    rng = np.random.default_rng(draw)
    positive = rng.random(2000) < 0.1
    score, person = np.round(0.7 * rng.random(2000) + 0.3 * positive, 2), rng.integers(0, 7, 2000)
    weight = np.stack([np.ones(7, int), rng.integers(0, 4, 7)])
    found = pieces.curves(score, positive, person, weight)
    for often, (area, best) in zip(weight, found.T, strict=True):
        assert area == pytest.approx(average_precision_score(positive, score, sample_weight=often[person]))
        false, true, _ = roc_curve(positive, score, sample_weight=often[person], drop_intermediate=False)
        assert best == pytest.approx(true[false <= 0.05].max())


def test_without_a_sample_of_the_class_there_is_no_curve(scripts):
    weight = np.array([[1, 1], [0, 2]])
    found = scripts[0].curves(np.array([0.9, 0.1]), np.array([True, False]), np.array([0, 1]), weight)
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
def test_gains_are_those_of_people_drawn_one_by_one(scripts, work, rows, arm):
    """Every draw of people is laid out as a larger test, and scikit-learn measures both arms on it."""
    pieces, _ = scripts
    often, draw = np.unique(pieces.drawn_people(3), axis=0, return_inverse=True)  # three people: few draws differ
    for model in pieces.MODELS:
        gains = rows[0][arm, model]["gains"]
        assert (gains["from"], list(gains["metrics"])) == ("none", ["auprc_S", "auprc_V", "auprc_F"])
        for k, name in enumerate(CLASSES[1:], start=1):
            mine, other = (
                np.mean([areas(work[1][one, seed], model, k, often) for seed in (0, 1)], axis=0)
                for one in (arm, "none")
            )
            gap, found = (mine - other)[draw.ravel()], gains["metrics"][f"auprc_{name}"]
            assert found["mean"] == pytest.approx(gap[0], abs=2e-7)  # float32 keeps seven digits of each arm
            assert found["interval"] == pytest.approx(np.quantile(gap, [0.025, 0.975]).tolist(), abs=2e-7)


def areas(run, model, k, often):
    """float64[B]: average precision of a class, each person's beats copied as often as they were drawn."""
    person = np.array([0, 1, 2, 2])[run["client"]]  # records 201 and 202 are one man
    score, positive = run[f"{model}_probability"][:, k], run["label"] == k
    drawn = [np.repeat(np.arange(len(score)), one[person]) for one in often]
    return np.array([average_precision_score(positive[one], score[one]) for one in drawn])


def test_gains_and_contrasts_are_the_same_numbers(scripts, rows, tmp_path):
    """A pair in contrasts.md, of personalised models, is the arm's gain in AUPRC of S."""
    pieces, table = scripts
    (tmp_path / "pieces.npz").write_bytes(rows[1]["pieces.npz"])
    line = table.contrasts(pieces.load(tmp_path / "pieces.npz")).splitlines()[-1]
    gain = rows[0]["simulator-need-based-0.1", "personalised"]["gains"]["metrics"]["auprc_S"]
    assert line.split(" | ")[:3] == ["| P1", "simulator, need-based, 10%", "none"]
    assert line.split(" | ")[4] == table.spanned(gain, "+")
    assert "gains" not in rows[0]["none", "personalised"]


def test_what_the_gates_measured_is_written_with_none_for_what_they_could_not(rows):
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


def test_without_a_run_it_says_how_to_make_one(scripts, tmp_path):
    with pytest.raises(SystemExit, match=r"no complete run in .*: make some with run\.py --work"):
        scripts[0].collect(tmp_path)


@pytest.fixture(scope="module")
def packed(scripts, tmp_path_factory):
    """Pieces of arms and seeds of P1, by name of the file."""
    pieces, _ = scripts
    folder = tmp_path_factory.mktemp("packed")

    def pack(name, arms, seeds):
        for arm in arms:
            for seed in seeds:
                fabricate(folder / name / f"P1-{arm}-seed{seed}", 100 + seed)
        return pieces.collect(folder / name)

    return {
        "cheap": pack("cheap", ["none", "weights", "simulator-need-based-0.1"], (0, 1)),
        "neural": pack("neural", ["gan-need-based-0.1", "simulator-need-based-0.1"], (0, 1)),
        "fewer": pack("fewer", ["gan-need-based-0.1"], (0,)),
    }


def test_joined_arms_are_those_of_both_in_the_order_of_the_plan(scripts, packed):
    neural, cheap = packed["neural"], packed["cheap"]
    found = scripts[0].joined(neural, cheap)
    assert found.arms("P1") == ["none", "weights", "simulator-need-based-0.1", "gan-need-based-0.1"]
    assert list(found.draws) == [("P1", arm) for arm in found.arms("P1")]
    assert [name for name in found.of if name[1] == "none"] == [("P1", "none", 0), ("P1", "none", 1)]
    for arm, source in {"none": cheap, "simulator-need-based-0.1": neural, "gan-need-based-0.1": neural}.items():
        assert found.draws["P1", arm] is source.draws["P1", arm]
        assert all(found.of["P1", arm, seed] is source.of["P1", arm, seed] for seed in (0, 1))


def test_a_part_has_only_what_was_asked_for(scripts, packed):
    found = scripts[0].part(packed["cheap"], ["P1", "P5"], ["none", "gan-need-based-0.1"])
    assert (list(found.of), list(found.draws)) == ([("P1", "none", 0), ("P1", "none", 1)], [("P1", "none")])


def test_saved_pieces_are_read_as_they_were(scripts, packed, tmp_path):
    scripts[0].save(packed["cheap"], tmp_path / "pieces.npz")
    found = scripts[0].load(tmp_path / "pieces.npz")
    assert found.classes == packed["cheap"].classes
    for name, piece in packed["cheap"].of.items():
        for mine, other in zip(found.of[name], piece, strict=True):
            np.testing.assert_array_equal(mine, other)
    for name, draws in packed["cheap"].draws.items():
        np.testing.assert_array_equal(found.draws[name], draws)


def test_pieces_that_are_not_there_are_asked_for(scripts, tmp_path):
    with pytest.raises(
        SystemExit, match=r"pieces\.npz is not there: name the folder of the run directories with --work"
    ):
        scripts[0].load(tmp_path / "pieces.npz")


def test_arms_of_other_seeds_do_not_stand_beside_each_other(scripts, packed):
    with pytest.raises(SystemExit, match=r"P1 has seeds \[0\], what stands beside it \[0, 1\]: make the same"):
        scripts[0].joined(packed["fewer"], packed["cheap"])
