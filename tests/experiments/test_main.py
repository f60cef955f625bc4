"""The main studies: the plan is whole, tables say what the pieces hold, the ledger changes nothing."""

import itertools
import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

import bofl_jax as bofl
from bofl_jax import data, metrics
from bofl_jax.parallel.clients import resolve
from bofl_jax.partition import PatientOptions
from bofl_jax.results import read_study
from tests.conftest import make_samples

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "main"
MODULES = ("arms", "plan", "dealing", "training", "pieces", "scores", "packing", "table", "run")
NAMES = ("200", "201", "202", "203", "205")  # 201 and 202 are one man


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    """The experiment's modules, importable as when a script is run, and forgotten afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def made(seed, size=400):
    """The test of a training that is right more often than not: both models, five subjects that are five clients."""
    from training import Tested

    rng = np.random.default_rng(seed)
    label = rng.choice(4, size, p=(0.7, 0.1, 0.15, 0.05)).astype(np.int32)
    client = np.sort(rng.integers(0, 5, size)).astype(np.int32)

    def probability():
        score = rng.normal(size=(size, 4)) + 1.5 * np.eye(4)[label]
        return (np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)).astype(np.float32)

    by_round = {name: [(10, rng.random()), (20, rng.random())] for name in ("global", "personalised")}
    models = {"global": probability(), "personalised": probability()}
    return Tested(models, label, client, client, NAMES, 5, ("N", "S", "V", "F"), by_round)


def evidence(tested, model="global"):
    """What `table` makes of one seed's piece."""
    from pieces import piece_of
    from plan import Row
    from table import evidence_of

    piece = {name: array[None] for name, array in piece_of(tested, 1.0, "test").items()}
    return evidence_of(Row("P1", "fedavg", model, "x", "x", "P1"), piece)


def everyone(row):
    return np.ones((1, row.confusion.shape[1]), int)


def test_the_plan_is_whole():
    from arms import ALPHAS, ARMS, PROTOCOLS
    from plan import STUDIES
    from training import configure

    for study in STUDIES.values():
        rows = study.chosen(full=True)
        names = [(row.under, str(row.x), row.name) for row in rows]
        assert len(set(names)) == len(names)
        assert all((row.under, str(row.x), row.against) in names for row in rows if row.against)
        assert all(PROTOCOLS[row.protocol].followed for row in study.curves)
        for protocol, arm in study.pieces(full=True):
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


def test_numbers_are_those_of_scikit_learn_and_of_the_package():
    """To 1e-6, the rounding of float32; ECE to half its unit for 15 bins of 5 people over 400 samples, 1e-3."""
    from scores import by_seed

    tested = made(0)
    row, label = evidence(tested), tested.label
    found = {name: float(by_seed(name, row, everyone(row))[0, 0])
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


def test_draws_of_people_count_their_samples_as_often():
    """Against the samples themselves, repeated; the threshold is one of the grid's."""
    from pieces import thresholds
    from scores import by_seed

    tested = made(1)
    row = evidence(tested)
    assert row.confusion.shape[1] == 4  # 201 and 202 are one man
    often = np.array([2, 0, 3, 1])  # 200, 201 and 202, 203, 205
    of_sample = often[np.array([0, 1, 1, 2, 3])[tested.subject]]
    score, own = tested.probability["global"][:, 1], tested.label == 1
    recalls = [
        of_sample[own & (score >= t)].sum() / of_sample[own].sum()
        for t in thresholds(score, ~own)
        if 20 * of_sample[~own & (score >= t)].sum() <= of_sample[~own].sum()
    ]
    assert by_seed("recall_at_spec95_S", row, often[None])[0, 0] == pytest.approx(max(recalls), abs=1e-12)
    hits = tested.probability["global"].argmax(axis=1) == tested.label
    accuracy = [hits[tested.client == client].mean() for client in range(5)]
    drawn = np.sort(np.repeat(accuracy, often[[0, 1, 1, 2, 3]] * 4))  # 24 clients: the lowest 3
    assert by_seed("worst_10_percent", row, 4 * often[None])[0, 0] == pytest.approx(drawn[:3].mean(), abs=1e-12)
    assert by_seed("jain", row, often[None])[0, 0] == pytest.approx(
        drawn.sum() ** 2 / (len(drawn) * (drawn**2).sum()), abs=1e-12
    )


def test_thresholds_are_those_of_the_package():
    from pieces import SPECIFICITIES, thresholds

    tested = made(2)
    probability, mask = tested.probability["global"], np.ones(len(tested.label), bool)
    mine = thresholds(probability[:, 2], tested.label != 2)
    for specificity, threshold in zip(SPECIFICITIES / 1000, mine, strict=True):
        theirs = metrics.threshold_at_specificity(probability, tested.label, mask, float(specificity))
        assert threshold == theirs[2]


@pytest.mark.parametrize("alpha", [0.05, 1000.0])
def test_every_sample_of_the_split_is_dealt_once(alpha):
    from dealing import dealt

    samples = make_samples()
    population = dealt(samples, PatientOptions(train_minutes=1.0, guard_seconds=5.0), alpha, seed=0)
    for rows, part in ((population.train, samples.time < 60), (population.test, samples.time >= 65)):
        np.testing.assert_array_equal(np.sort(rows.flat()[0]), np.flatnonzero(part))
    assert (population.train.size > 0).all()
    shares = np.stack([np.bincount(samples.y[population.train.of(c)], minlength=len(samples.classes))
                       for c in range(population.clients)])  # fmt: skip
    mixed = (shares > 0).all(axis=1).mean()
    assert mixed == 1.0 if alpha == 1000 else mixed < 0.5


@pytest.fixture
def fabricated(tmp_path, monkeypatch):
    """A work folder with two seeds of every piece of a study; few draws, which no mean depends on."""

    def fabricate(name):
        import pieces
        import scores
        from plan import STUDIES

        monkeypatch.setattr(scores, "RESAMPLES", 40)
        monkeypatch.setattr(scores, "PERMUTATIONS", 40)
        work = tmp_path / "work"
        work.mkdir()
        twins = {"ledgered": "fedavg", "proposed": "ungoverned"}
        tests = {}
        for (protocol, arm), seed in itertools.product(STUDIES[name].pieces(full=False), (0, 1)):
            which = (protocol, twins.get(arm, arm), seed)
            tests[protocol, arm, seed] = made(sum(map(ord, str(which))))
            pieces.write(
                pieces.Folder(work).path(protocol, arm, seed), pieces.piece_of(tests[protocol, arm, seed], 2.0, "m")
            )
        return work, tests

    return fabricate


def test_the_table_says_what_the_pieces_hold(fabricated, tmp_path, capsys):
    from table import main

    work, tests = fabricated("ablation")
    main(["--study", "ablation", "--work", str(work), "--out", str(tmp_path / "out"), "--pieces"])
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


def test_a_ledger_that_changes_a_bit_is_told(fabricated, tmp_path):
    from pieces import Folder, piece_of, write
    from table import main

    work, tests = fabricated("ablation")
    tested = tests["P1", "proposed", 1]
    tested.probability["global"][0, 0] = np.nextafter(tested.probability["global"][0, 0], np.float32(0))
    write(Folder(work).path("P1", "proposed", 1), piece_of(tested, 2.0, "m"))
    main(["--study", "ablation", "--work", str(work), "--out", str(tmp_path / "out")])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["study"]["without_ledger"] == {"tests_compared": 16, "equal_to_the_bit": 15}


def test_packed_pieces_give_the_same_bytes(fabricated, tmp_path):
    from table import main

    work, _ = fabricated("methods")
    out = tmp_path / "out"
    main(["--study", "methods", "--work", str(work), "--out", str(out), "--pieces"])
    names = ("results.json", "rounds.csv", "pieces.npz")
    first = {name: (out / name).read_bytes() for name in names}
    assert len(read_study(out).rounds) == 2 * 2 * 7
    for name in names[:2]:
        (out / name).unlink()
    main(["--study", "methods", "--out", str(out), "--pieces"])
    assert {name: (out / name).read_bytes() for name in names} == first


def test_without_pieces_the_command_says_what_to_do(tmp_path):
    from table import main

    with pytest.raises(bofl.BoflError, match="name the folder of the pieces with --work"):
        main(["--study", "alpha", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="no seed is complete"):
        main(["--study", "alpha", "--work", str(tmp_path), "--out", str(tmp_path)])


def test_the_ledger_changes_no_bit_and_its_samples_do(tmp_path):
    from arms import Protocol
    from training import governed, set_up, ungoverned

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
    samples, plan, protocol = data.load(without.data, 0), resolve(without.engine), Protocol({}, followed=True)
    mine = governed(bofl.load_config(base), tmp_path / "run", samples)
    twin, plain = (
        ungoverned(set_up(without, protocol, plan, samples, batches), protocol) for batches in (tmp_path / "run", None)
    )
    assert mine.synthetic == twin.synthetic > plain.synthetic == 0
    for model in ("global", "personalised"):
        assert mine.probability[model].tobytes() == twin.probability[model].tobytes()
        assert (mine.probability[model] != plain.probability[model]).any()
        right = twin.probability[model].argmax(axis=1)
        ((number, score),) = twin.by_round[model]
        present = np.unique(twin.label)
        assert number == 2
        assert score == pytest.approx(f1_score(twin.label, right, labels=present, average="macro"), abs=1e-6)
    np.testing.assert_array_equal(mine.subject, twin.subject)
