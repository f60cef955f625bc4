"""The main studies: the plan is complete, tables agree with the counts, and the ledger changes no bit."""

import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

import bofl_jax as bofl
from bofl_jax import data, metrics
from bofl_jax.parallel import resolve_plan
from bofl_jax.partition import PatientOptions
from bofl_jax.results import read_study
from bofl_jax.results.writing import write_arrays
from experiments.common.files import WorkFolder
from experiments.main import scores, table
from experiments.main.arms import ALPHAS, ARMS, PROTOCOLS, Protocol
from experiments.main.counts import SPECIFICITIES, count_training, thresholds
from experiments.main.dirichlet import dirichlet_population
from experiments.main.plan import STUDIES, Row
from experiments.main.scores import metric_of_draws
from experiments.main.table import row_counts_of
from experiments.main.training import Predictions, build_ungoverned, configure, run_governed, train_ungoverned
from tests.conftest import make_samples

NAMES = ("200", "201", "202", "203", "205")  # 201 and 202 are one man


def fabricate_test(seed, size=400):
    """Predictions that are correct more repeats than not: two models, five subjects that are five clients."""
    rng = np.random.default_rng(seed)
    label = rng.choice(4, size, p=(0.7, 0.1, 0.15, 0.05)).astype(np.int32)
    client = np.sort(rng.integers(0, 5, size)).astype(np.int32)

    def probability():
        score = rng.normal(size=(size, 4)) + 1.5 * np.eye(4)[label]
        return (np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)).astype(np.float32)

    by_round = {name: [(10, rng.random()), (20, rng.random())] for name in ("global", "personalised")}
    models = {"global": probability(), "personalised": probability()}
    return Predictions(models, label, client, client, NAMES, 5, ("N", "S", "V", "F"), by_round)


def row_counts(tested, model="global"):
    """The counts of a row from the test of one seed."""
    counts = {name: array[None] for name, array in count_training(tested, 1.0, "test").items()}
    return row_counts_of(Row("P1", "fedavg", model, "x", "x", "P1"), counts)


def once_each(row):
    return np.ones((1, row.confusion.shape[1]), int)


def test_the_plan_is_complete():
    for study in STUDIES.values():
        rows = study.selected_rows(full=True)
        names = [(row.group, str(row.x), row.name) for row in rows]
        assert len(set(names)) == len(names)
        assert all((row.group, str(row.x), row.reference) in names for row in rows if row.reference)
        assert all(PROTOCOLS[row.protocol].by_round for row in study.curves)
        for protocol, arm in study.trainings(full=True):
            config = configure(protocol, arm, 3, 7)
            assert (config.seed, config.federation.rounds) == (3, 7)
            assert (config.ledger.mode != "off") == ARMS[arm].governed
    of_study = {name: study.rows for name, study in STUDIES.items()}
    cells = {(row.protocol, *row.factors.values()) for row in of_study["ablation"]}
    assert cells == set(itertools.product(("P1", "P5"), *[(False, True)] * 3))
    assert len(of_study["methods"]) == 3 * 9
    for alpha in (*ALPHAS, "natural"):
        assert len([row for row in of_study["alpha"] if row.x["alpha"] == alpha]) >= 6
    minutes = {row.x["minutes"]: {other.name for other in of_study["label_scarcity"] if other.x == row.x}
               for row in of_study["label_scarcity"]}  # fmt: skip
    assert set(minutes) == {0, 0.5, 1, 2, 5, 15}
    assert all({"local", "fedavg-ft", "perfedavg-ft", "ditto", "proposed"} == minutes[m] for m in minutes if m)


def test_metrics_agree_with_scikit_learn_and_with_the_package():
    """To 1e-6, the rounding of float32; ECE to half its unit for 15 bins of 5 people over 400 samples, 1e-3."""
    tested = fabricate_test(0)
    row, label = row_counts(tested), tested.label
    found = {name: float(metric_of_draws(name, row, once_each(row))[0, 0])
             for name in ("accuracy", "macro_f1", "macro_f1_nsv", "recall_S", "precision_V", "recall_at_spec95_S",
                          "recall_at_spec95_V", "ece", "jain", "worst_10_percent")}  # fmt: skip
    probability = tested.probability["global"]
    predicted, mask = probability.argmax(axis=1), np.ones(len(label), bool)
    assert found["macro_f1"] == pytest.approx(f1_score(label, predicted, average="macro"), abs=1e-6)
    nsv = f1_score(label, predicted, labels=[0, 1, 2], average="macro")
    assert found["macro_f1_nsv"] == pytest.approx(nsv, abs=1e-6)
    assert found["recall_S"] == pytest.approx(recall_score(label, predicted, labels=[1], average="macro"), abs=1e-6)
    at_95 = metrics.recall_at_specificity(probability, label, mask)
    assert found["recall_at_spec95_S"] == pytest.approx(float(at_95[1]), abs=1e-6)
    assert found["recall_at_spec95_V"] == pytest.approx(float(at_95[2]), abs=1e-6)
    assert found["ece"] == pytest.approx(float(metrics.ece(probability, label, mask)), abs=1e-3)
    accuracy = [np.mean((predicted == label)[tested.client == client]) for client in range(5)]
    spread = metrics.fairness(jnp.array(accuracy), jnp.ones(5, bool))
    assert found["jain"] == pytest.approx(float(spread.jain), abs=1e-6)
    assert found["worst_10_percent"] == pytest.approx(min(accuracy), abs=1e-6)


def test_samples_count_as_repeats_as_their_person_is_drawn():
    """Against the samples themselves, repeated; the threshold is one of the grid's."""
    tested = fabricate_test(1)
    row = row_counts(tested)
    assert row.confusion.shape[1] == 4  # 201 and 202 are one man
    repeats = np.array([2, 0, 3, 1])  # 200, 201 and 202, 203, 205
    of_sample = repeats[np.array([0, 1, 1, 2, 3])[tested.subject]]
    score, own = tested.probability["global"][:, 1], tested.label == 1
    recalls = [
        of_sample[own & (score >= t)].sum() / of_sample[own].sum()
        for t in thresholds(score, ~own)
        if 20 * of_sample[~own & (score >= t)].sum() <= of_sample[~own].sum()
    ]
    assert metric_of_draws("recall_at_spec95_S", row, repeats[None])[0, 0] == pytest.approx(max(recalls), abs=1e-12)
    hits = tested.probability["global"].argmax(axis=1) == tested.label
    accuracy = [hits[tested.client == client].mean() for client in range(5)]
    drawn = np.sort(np.repeat(accuracy, repeats[[0, 1, 1, 2, 3]] * 4))  # 24 clients: the lowest 3
    assert metric_of_draws("worst_10_percent", row, 4 * repeats[None])[0, 0] == pytest.approx(
        drawn[:3].mean(), abs=1e-12
    )
    assert metric_of_draws("jain", row, repeats[None])[0, 0] == pytest.approx(
        drawn.sum() ** 2 / (len(drawn) * (drawn**2).sum()), abs=1e-12
    )


def test_thresholds_agree_with_the_package():
    tested = fabricate_test(2)
    probability, mask = tested.probability["global"], np.ones(len(tested.label), bool)
    mine = thresholds(probability[:, 2], tested.label != 2)
    for specificity, threshold in zip(SPECIFICITIES / 1000, mine, strict=True):
        theirs = metrics.threshold_at_specificity(probability, tested.label, mask, float(specificity))
        assert threshold == theirs[2]


@pytest.mark.parametrize("alpha", [0.05, 1000.0])
def test_every_sample_of_the_split_is_assigned_once(alpha):
    samples = make_samples()
    population = dirichlet_population(samples, PatientOptions(train_minutes=1.0, guard_seconds=5.0), alpha, seed=0)
    for rows, part in ((population.train, samples.time < 60), (population.test, samples.time >= 65)):
        np.testing.assert_array_equal(np.sort(rows.flat()[0]), np.flatnonzero(part))
    assert (population.train.size > 0).all()
    shares = np.stack([np.bincount(samples.y[population.train.of(c)], minlength=len(samples.classes))
                       for c in range(population.clients)])  # fmt: skip
    mixed = (shares > 0).all(axis=1).mean()
    assert mixed == 1.0 if alpha == 1000 else mixed < 0.5


@pytest.fixture
def fabricated(tmp_path, monkeypatch):
    """A work folder with two seeds of every training of a study; few draws, which no mean depends on."""

    def fabricate(name):
        monkeypatch.setattr(scores, "RESAMPLES", 40)
        monkeypatch.setattr(scores, "PERMUTATIONS", 40)
        work = tmp_path / "work"
        work.mkdir()
        twins = {"ledgered": "fedavg", "proposed": "ungoverned"}
        tests = {}
        for (protocol, arm), seed in itertools.product(STUDIES[name].trainings(full=False), (0, 1)):
            training = (protocol, twins.get(arm, arm), seed)
            tests[protocol, arm, seed] = fabricate_test(sum(map(ord, str(training))))
            counts = count_training(tests[protocol, arm, seed], 2.0, "m")
            write_arrays(WorkFolder(work).file((protocol, arm), seed), counts)
        return work, tests

    return fabricate


def test_the_table_agrees_with_the_predictions(fabricated, tmp_path, capsys):
    work, tests = fabricated("ablation")
    table.main(["--study", "ablation", "--work", str(work), "--out", str(tmp_path / "out"), "--pieces"])
    assert "16 trainings, 32 s on m" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = {(row["protocol"], row["arm"]): row for row in results["rows"]}

    def score(arm, model, seed):
        tested = tests["P1", arm, seed]
        return f1_score(tested.label, tested.probability[model].argmax(axis=1), labels=[0, 1, 2], average="macro")

    mine, other = (
        np.array([score(*pair, seed) for seed in (0, 1)])
        for pair in (("proposed", "personalised"), ("ledgered", "personalised"))
    )
    row = rows["P1", "ledger+personalisation+synthesis"]
    measured = row["metrics"]["macro_f1_nsv"]
    assert measured["mean"] == pytest.approx(mine.mean(), abs=2e-6)  # six digits are written
    assert measured["sd"] == pytest.approx(mine.std(ddof=1), abs=2e-6)
    assert measured["interval"][0] <= measured["mean"] <= measured["interval"][1]
    assert row["difference"]["from"] == "ledger + personalisation"
    assert row["difference"]["mean"] == pytest.approx((mine - other).mean(), abs=2e-6)
    p = [row["difference"][kind] for row in results["rows"] if "difference" in row for kind in ("p", "p_holm")]
    assert len(p) == 2 * 6
    np.testing.assert_allclose(p[1::2], metrics.holm(p[::2]), atol=1e-5)
    assert results["study"]["without_ledger"] == {"tests_compared": 16, "equal_to_the_bit": 16}
    assert rows["P5", "ledger"]["metrics"] == rows["P5", "none"]["metrics"]
    study = read_study(tmp_path / "out")
    assert len(study.rows) == 16
    assert study.rows[0].people == 4


def test_a_ledger_that_changes_a_bit_is_reported(fabricated, tmp_path):
    work, tests = fabricated("ablation")
    tested = tests["P1", "proposed", 1]
    tested.probability["global"][0, 0] = np.nextafter(tested.probability["global"][0, 0], np.float32(0))
    write_arrays(WorkFolder(work).file(("P1", "proposed"), 1), count_training(tested, 2.0, "m"))
    table.main(["--study", "ablation", "--work", str(work), "--out", str(tmp_path / "out")])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["study"]["without_ledger"] == {"tests_compared": 16, "equal_to_the_bit": 15}


def test_an_archive_gives_the_same_bytes(fabricated, tmp_path):
    work, _ = fabricated("methods")
    out = tmp_path / "out"
    table.main(["--study", "methods", "--work", str(work), "--out", str(out), "--pieces"])
    names = ("results.json", "rounds.csv", "pieces.npz")
    first = {name: (out / name).read_bytes() for name in names}
    assert len(read_study(out).rounds) == 2 * 2 * 7
    for name in names[:2]:
        (out / name).unlink()
    table.main(["--study", "methods", "--out", str(out), "--pieces"])
    assert {name: (out / name).read_bytes() for name in names} == first


def test_without_counts_the_command_says_what_to_do(tmp_path):
    with pytest.raises(bofl.BoflError, match="name the folder of the finished trainings with --work"):
        table.main(["--study", "alpha", "--out", str(tmp_path)])
    with pytest.raises(bofl.BoflError, match="no seed is complete"):
        table.main(["--study", "alpha", "--work", str(tmp_path), "--out", str(tmp_path)])


def test_the_ledger_changes_no_bit_and_its_samples_do(tmp_path):
    base = {
        "data": {"source": "simulator", "patients": 6, "beats": 120, "ectopy": 3.0},
        "partition": {"scheme": "patient", "train_minutes": 1.0},
        "model": {"name": "linear"},
        "federation": {"algorithm": "fedavg", "rounds": 2, "local_steps": 2},
        "personalise": {"method": "finetune", "steps": 2},
        "ledger": {"mode": "merkle"},
        "synthesis": {"generator": "pca-gaussian", "dose": 0.3},
    }
    without = bofl.load_config(base | {"ledger": {"mode": "off"}, "synthesis": {"generator": "none"}})
    samples, plan, protocol = data.load(without.data, 0), resolve_plan(without.engine), Protocol({}, by_round=True)
    governed = run_governed(bofl.load_config(base), tmp_path / "run", samples)
    twin, plain = (
        train_ungoverned(build_ungoverned(without, protocol, plan, samples, batches), protocol)
        for batches in (tmp_path / "run", None)
    )
    assert governed.synthetic == twin.synthetic > plain.synthetic == 0
    for model in ("global", "personalised"):
        assert governed.probability[model].tobytes() == twin.probability[model].tobytes()
        assert (governed.probability[model] != plain.probability[model]).any()
        predicted = twin.probability[model].argmax(axis=1)
        ((number, score),) = twin.by_round[model]
        present = np.unique(twin.label)
        assert number == 2
        assert score == pytest.approx(f1_score(twin.label, predicted, labels=present, average="macro"), abs=1e-6)
    np.testing.assert_array_equal(governed.subject, twin.subject)
