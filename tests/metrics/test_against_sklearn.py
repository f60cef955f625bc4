"""Every metric against scikit-learn (float64) on random predictions with and without ties.

Tolerance 1e-6 relative: the probabilities are the same float32 numbers on both sides, counts are integers, and the
pairwise float32 sums lose at most a few units in the last place (6e-8).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as oracle

from bofl_jax.metrics import auprc, auroc, compute_metrics, to_summary

RTOL = 1e-6
WIDTH = 5_000
CASES = [(classes, samples, steps) for classes in range(2, 7) for samples, steps in ((300, 7), (WIDTH, None))]
CASES += [(4, 20_000, None), (4, 20_000, 50)]


def predictions(classes: int, samples: int, steps: int | None, seed: int = 0, absent: int | None = None):
    """Random informative predictions; ``steps`` rounds them onto a grid, which makes ties."""
    rng = np.random.default_rng((seed, classes, samples))
    share = rng.dirichlet(np.full(classes, 2.0)) * 0.9 + 0.1 / classes
    if absent is not None:
        share[absent] = 0
    label = rng.choice(classes, samples, p=share / share.sum()).astype(np.int32)
    logits = rng.normal(size=(samples, classes)) + 1.5 * np.eye(classes)[label]
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if steps is not None:
        probability = np.round(probability * steps) / steps
    return probability.astype(np.float32), label


def measure(probability, label):
    """Measure, padded to one width so that few shapes are compiled (and padding meets the oracle too)."""
    padding = max(WIDTH - len(label), 0)
    mask = np.arange(len(label) + padding) < len(label)
    probability = np.pad(probability, ((0, padding), (0, 0)), constant_values=0.7)
    return _measure(jnp.asarray(probability), jnp.asarray(np.pad(label, (0, padding))), jnp.asarray(mask))


@jax.jit
def _measure(*arrays):
    return compute_metrics(*arrays) | {"auroc": auroc(*arrays), "auprc": auprc(*arrays)}


@pytest.fixture(params=CASES, ids=lambda case: "K{}-N{}-ties{}".format(*case), scope="module")
def case(request):
    probability, label = predictions(*request.param)
    return probability, label, jax.device_get(measure(probability, label))


def test_confusion_and_per_class_numbers(case):
    probability, label, measured = case
    predicted, classes = probability.argmax(1), range(probability.shape[1])
    matrix = oracle.confusion_matrix(label, predicted, labels=classes)
    np.testing.assert_array_equal(measured["confusion"], matrix)
    precision, recall, f1, support = oracle.precision_recall_fscore_support(
        label, predicted, labels=classes, zero_division=0
    )
    np.testing.assert_array_equal(measured["support"], support)
    np.testing.assert_allclose(measured["precision"], precision, rtol=RTOL)
    np.testing.assert_allclose(measured["recall"], recall, rtol=RTOL)
    np.testing.assert_allclose(measured["f1"], f1, rtol=RTOL)
    specificity = [oracle.recall_score(label != k, predicted != k) for k in classes]
    np.testing.assert_allclose(measured["specificity"], specificity, rtol=RTOL)


def test_averages(case):
    probability, label, measured = case
    predicted = probability.argmax(1)
    np.testing.assert_allclose(measured["accuracy"], oracle.accuracy_score(label, predicted), rtol=RTOL)
    np.testing.assert_allclose(
        measured["balanced_accuracy"], oracle.balanced_accuracy_score(label, predicted), rtol=RTOL
    )
    np.testing.assert_allclose(measured["macro_f1"], oracle.f1_score(label, predicted, average="macro"), rtol=RTOL)


def test_areas_under_curves(case):
    probability, label, measured = case
    classes = range(probability.shape[1])
    roc = [oracle.roc_auc_score(label == k, probability[:, k]) for k in classes]
    prc = [oracle.average_precision_score(label == k, probability[:, k]) for k in classes]
    np.testing.assert_allclose(measured["auroc"], roc, rtol=RTOL)
    np.testing.assert_allclose(measured["auprc"], prc, rtol=RTOL)
    np.testing.assert_allclose(measured["auroc_macro"], np.mean(roc), rtol=RTOL)
    np.testing.assert_allclose(measured["auprc_macro"], np.mean(prc), rtol=RTOL)


def test_brier_score():
    probability, label = predictions(4, 20_000, None)
    exact = probability.astype(np.float64)
    # scikit-learn wants rows that add up to 1 in float64, which changes a probability by 6e-8
    expected = oracle.brier_score_loss(label, exact / exact.sum(1, keepdims=True), labels=range(4), scale_by_half=False)
    np.testing.assert_allclose(measure(probability, label)["brier"], expected, rtol=RTOL)


def test_brier_of_a_binary_problem_is_twice_the_one_sided_score():
    probability, label = predictions(2, 4_000, None)
    one_sided = np.mean((probability[:, 1].astype(np.float64) - label) ** 2)
    np.testing.assert_allclose(measure(probability, label)["brier"], 2 * one_sided, rtol=RTOL)


def ece_oracle(probability, label, bins=15):
    """The docstring's formula, sample by sample, in float64."""
    confidence = probability.max(1).astype(np.float64)
    correct = probability.argmax(1) == label
    lower = np.array([np.sum(confidence < c) for c in confidence])
    bin_of = lower * bins // len(label)
    gaps = [abs(np.sum(correct[bin_of == b] - confidence[bin_of == b])) for b in range(bins)]
    return sum(gaps) / len(label)


@pytest.mark.parametrize(("samples", "steps"), [(11, None), (300, 7), (5_000, None), (5_000, 20)])
def test_calibration_error(samples, steps):
    probability, label = predictions(4, samples, steps)
    # Within a bin positive and negative gaps cancel, so the rounding (6e-8 of a gap of order 1) is absolute.
    np.testing.assert_allclose(measure(probability, label)["ece"], ece_oracle(probability, label), rtol=RTOL, atol=1e-7)


def test_calibration_bins_have_equal_mass_where_nothing_ties():
    """Without ties it is the textbook estimator: sort by confidence, cut into 15 equal pieces."""
    rng = np.random.default_rng(5)
    confidence = rng.permutation(np.linspace(0.5, 0.99, 1_500, dtype=np.float32))
    label = (rng.random(1_500) > confidence**2).astype(np.int32)
    probability = np.stack([confidence, 1 - confidence], axis=1)
    order = np.argsort(probability.max(1), kind="stable")
    gap = ((probability.argmax(1) == label) - probability.max(1).astype(np.float64))[order]
    expected = np.abs(gap.reshape(15, 100).sum(1)).sum() / 1_500
    np.testing.assert_allclose(measure(probability, label)["ece"], expected, rtol=RTOL, atol=1e-7)


@pytest.mark.parametrize("absent", [0, 2, 4])
def test_class_without_support_is_left_out_of_every_average(absent):
    probability, label = predictions(5, 2_000, 9, absent=absent)
    measured = jax.device_get(measure(probability, label))
    present = [k for k in range(5) if k != absent]
    for values in (measured["recall"], measured["precision"], measured["f1"], measured["auroc"], measured["auprc"]):
        assert np.isnan(values[absent])
        assert np.isfinite(values[present]).all()
    predicted = probability.argmax(1)
    assert absent in predicted, "the case is only interesting when the absent class is predicted"
    f1 = oracle.f1_score(label, predicted, labels=present, average=None)
    recall = oracle.recall_score(label, predicted, labels=present, average=None)
    roc = [oracle.roc_auc_score(label == k, probability[:, k]) for k in present]
    np.testing.assert_allclose(measured["macro_f1"], f1.mean(), rtol=RTOL)
    np.testing.assert_allclose(measured["balanced_accuracy"], recall.mean(), rtol=RTOL)
    np.testing.assert_allclose(measured["auroc_macro"], np.mean(roc), rtol=RTOL)
    np.testing.assert_allclose(measured["specificity"][absent], np.mean(predicted != absent), rtol=RTOL)


def test_dictionary_holds_the_same_numbers():
    names = ("N", "S", "V", "F")
    probability, label = predictions(4, 3_000, None)
    written = to_summary(measure(probability, label), names)
    expected = oracle.classification_report(
        label, probability.argmax(1), labels=range(4), target_names=names, output_dict=True
    )
    for name in names:
        row = written["per_class"][name]
        np.testing.assert_allclose(
            [row["recall"], row["precision"], row["f1"]],
            [expected[name][key] for key in ("recall", "precision", "f1-score")],
            rtol=RTOL,
        )
        assert row["support"] == expected[name]["support"]
    nsv = np.mean([expected[name]["f1-score"] for name in "NSV"])
    np.testing.assert_allclose(written["macro_f1_nsv"], nsv, rtol=RTOL)
