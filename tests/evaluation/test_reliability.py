"""``safety`` of a run's summary: the numbers against scikit-learn, what is null, and that an audit checks them."""

import json
import shutil

import numpy as np
import pytest
from sklearn import metrics as oracle

import bofl_jax as bofl
from bofl_jax.core.errors import VerificationError
from bofl_jax.evaluation.reliability import (
    CALIBRATED_KEYS,
    LabelledPredictions,
    calibrate,
    measure_reliability,
    reliability_summary,
)
from bofl_jax.metrics import METRICS, apply_temperature
from bofl_jax.runs import audit
from tests.support.tiny import exact_results, run_tiny, write_arrays

LINEAR = {"model.name": "linear"}
HELD_OUT = {"partition.test_subjects": ["s0", "s3"], "partition.adapt_minutes": 0.8}
MODELS = ("global", "personalised")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


@pytest.fixture(scope="module")
def run(arrays, tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("safety") / "run", arrays, LINEAR)


@pytest.fixture(scope="module")
def held_out(arrays, tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("held") / "run", arrays, LINEAR | HELD_OUT)


def predictions(run):
    with np.load(run.directory / "predictions.npz") as held:
        return {name: held[name] for name in held.files}


@pytest.mark.parametrize("model", MODELS)
def test_the_numbers_are_those_of_scikit_learn(run, model):
    held, found = predictions(run), run.summary["safety"][model]
    label, probability = held["label"], held[f"{model}_probability"].astype(float)
    predicted = probability.argmax(axis=1)
    close = {"abs": 2e-6}  # float32 against float64
    assert found["mcc"] == pytest.approx(oracle.matthews_corrcoef(label, predicted), **close)
    assert found["kappa"] == pytest.approx(oracle.cohen_kappa_score(label, predicted), **close)
    normed = probability / probability.sum(axis=1, keepdims=True)
    assert found["nll"] == pytest.approx(oracle.log_loss(label, normed, labels=[0, 1, 2]), **close)
    parts = found["brier_parts"]
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bin"]
    assert total == pytest.approx(run.summary["test"][model]["brier"], **close)
    for index, name in enumerate("NSV"):
        false, true, _ = oracle.roc_curve(label == index, probability[:, index], drop_intermediate=False)
        assert found["recall_at_specificity_95"][name] == pytest.approx(true[false <= 0.05 + 1e-9].max(), **close)
    report = oracle.classification_report(label, predicted, output_dict=True, zero_division=0)
    j = sum(report[str(index)][of] for index in (1, 2) for of in ("recall", "precision"))
    assert found["j_index"] == pytest.approx(j, **close)  # without F and Q the precision of V is the usual one
    assert found["jk_index"] == pytest.approx(found["kappa"] / 2 + j / 8, **close)


@pytest.mark.parametrize("model", MODELS)
def test_selection_is_the_plain_curve(run, model):
    held, found = predictions(run), run.summary["safety"][model]
    probability = held[f"{model}_probability"]
    confidence, wrong = probability.max(axis=1), probability.argmax(axis=1) != held["label"]
    assert len(np.unique(confidence)) == len(confidence)
    risk = np.cumsum(wrong[np.argsort(-confidence)]) / np.arange(1, len(wrong) + 1)
    assert found["aurc"] == pytest.approx(risk.mean(), abs=2e-6)
    accepted = np.flatnonzero(risk <= 0.01)
    assert found["coverage_at_risk_1"] == pytest.approx((accepted[-1] + 1) / len(risk) if len(accepted) else 0)


def test_nothing_is_calibrated_on_samples_that_were_trained_or_tested_on(run, held_out):
    for found in (*run.summary["safety"].values(), held_out.summary["safety"]["personalised"]):
        assert [found[name] for name in CALIBRATED_KEYS] == [None] * 4


def test_held_out_patients_first_minutes_calibrate_the_shared_model(held_out, samples):
    """By a plain search and a plain quantile, with the network written out."""
    held, found = predictions(held_out), held_out.summary["safety"]["global"]
    rows = np.flatnonzero(np.isin(samples.subject, (0, 3)) & (samples.time < 48))
    layer = {name: np.asarray(leaf, float) for name, leaf in held_out.params["Dense_0"].items()}
    inputs = np.concatenate([samples.x[rows].reshape(len(rows), -1), samples.features[rows]], axis=1)
    logits = inputs @ layer["kernel"] + layer["bias"]

    def losses(temperature):
        z = logits / temperature
        return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), samples.y[rows]]

    grid = np.geomspace(0.01, 100, 20_001)
    best = grid[np.argmin([losses(t).mean() for t in grid])]
    assert found["temperature"] == pytest.approx(best, rel=2e-3)  # the loss is flat there, and the grid has steps
    scores = np.sort(1 - np.exp(-losses(1.0)))
    limit = scores[int(np.ceil((len(rows) + 1) * 0.9)) - 1]
    sets = 1 - held["global_probability"] <= limit + 1e-6
    assert found["conformal_size"] == pytest.approx(sets.sum(axis=1).mean())
    assert found["conformal_coverage"] == pytest.approx(sets[np.arange(len(sets)), held["label"]].mean())
    scaled = np.asarray(apply_temperature(held["global_probability"], found["temperature"]))
    assert found["ece_scaled"] == pytest.approx(ece(scaled, held["label"]), abs=1e-5)
    assert found["ece_scaled"] != pytest.approx(held_out.summary["test"]["global"]["ece"], abs=1e-3)


def ece(probability, label, bins=15):
    """In bins of equal mass, sample by sample; no two confidences are equal."""
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == label
    place = np.argsort(np.argsort(confidence)) * bins // len(label)
    return sum(abs((right - confidence)[place == b].sum()) for b in range(bins)) / len(label)


def test_classes_without_s_and_v_have_no_j_index():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]], np.float32)
    found = reliability_summary(p, np.array([0, 1, 0], np.int32), ("worse", "better"))
    assert (found["j_index"], found["jk_index"]) == (None, None)
    assert set(found["classwise_ece"]) == {"worse", "better"}


def test_padding_changes_nothing():
    """33 samples are padded to 36: the same as what is measured without."""
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(3), 33).astype(np.float32), rng.integers(0, 3, 33).astype(np.int32)
    classes = ("N", "S", "V")
    padded, seen = reliability_summary(p, y, classes, reference=(p, y)), LabelledPredictions(p, y, np.ones(33, bool))
    whole, _ = measure_reliability(seen, METRICS.select("safety"), classes)
    for name in ("mcc", "kappa", "nll", "jk_index", "aurc"):
        assert padded[name] == pytest.approx(float(whole[name]), abs=1e-6)
    assert list(padded["classwise_ece"].values()) == pytest.approx(whole["classwise_ece"].tolist(), abs=1e-6)
    assert [padded[name] for name in CALIBRATED_KEYS] == pytest.approx(
        [float(v) for v in calibrate(seen, seen)], abs=1e-5
    )


def test_a_method_without_a_shared_model_has_none(arrays, tmp_path):
    off = {"federation.algorithm": "local", "personalise.method": "none", "ledger.mode": "off"}
    found = run_tiny(tmp_path / "run", arrays, LINEAR | off).summary["safety"]
    assert found["global"] is None
    assert found["personalised"]["mcc"] is not None


def test_safety_is_no_part_of_the_published_results(run):
    """New keys come last; the digest of the results, and with it the head, knows nothing of them."""
    assert list(run.summary)[-2:] == ["config_sha256", "safety"]
    assert "safety" not in exact_results(run.directory)


def test_an_audit_finds_numbers_that_do_not_follow_from_the_predictions(run, tmp_path):
    audit(run.directory)
    changes = {
        "mcc": lambda safety: safety["personalised"].update(mcc=0.99),
        "brier_parts": lambda safety: safety["global"]["brier_parts"].update(reliability=0.0),
        "classwise_ece": lambda safety: safety["global"]["classwise_ece"].pop("V"),
        "a key": lambda safety: safety["global"].update(more=1.0),
        "a model": lambda safety: safety.update(personalised=None),
        "missing or damaged": lambda safety: safety.pop("global"),
    }
    for named, change in changes.items():
        copy = shutil.copytree(run.directory, tmp_path / named)
        summary = json.loads((copy / "summary.json").read_text())
        change(summary["safety"])
        (copy / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
        with pytest.raises(VerificationError, match=named):
            audit(copy)


def test_an_audit_rejects_a_summary_without_safety(run, tmp_path):
    copy = shutil.copytree(run.directory, tmp_path / "run")
    summary = json.loads((copy / "summary.json").read_text())
    del summary["safety"]
    (copy / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    with pytest.raises(VerificationError, match=r"summary\.json was changed"):
        bofl.audit(copy)
