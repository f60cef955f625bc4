"""Operating points, MCC, kappa and the EC57 indices against scikit-learn and published numbers.

Tolerance 1e-6 relative: counts are integers on both sides, and a few float32 operations follow.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as oracle

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import (
    confusion,
    j_index,
    jk_index,
    kappa,
    mcc,
    recall_at_specificity,
    recall_at_threshold,
    specificity_at_threshold,
    threshold_at_specificity,
    ventricular_precision,
)
from bofl_jax.metrics.scores import floor_share

RTOL = 1e-6
CLASSES, SAMPLES = 4, 600
THRESHOLD = jax.jit(threshold_at_specificity, static_argnames="specificity")
RECALL = jax.jit(recall_at_specificity, static_argnames="specificity")

# On DS2, N, S, V, F (Q dropped), as github.com/mondejar/ecg-classification has them (python/aux/evaluation_cm.py)
DE_CHAZAL = jnp.array([[38444, 1904, 303, 3509], [173, 1395, 252, 16], [117, 321, 2504, 176], [33, 1, 7, 347]])
SINGLE_SVM = jnp.array([[39446, 2404, 340, 1843], [443, 1374, 186, 47], [28, 162, 3005, 25], [240, 2, 35, 111]])


def predictions(seed: int = 0, steps: int | None = None, samples: int = SAMPLES):
    """Informative predictions; ``steps`` rounds them onto a grid, which makes ties."""
    rng = np.random.default_rng(seed)
    label = rng.choice(CLASSES, samples, p=[0.7, 0.1, 0.15, 0.05]).astype(np.int32)
    probability = np.exp(rng.normal(size=(samples, CLASSES)) + 1.5 * np.eye(CLASSES)[label])
    probability /= probability.sum(1, keepdims=True)
    if steps is not None:
        probability = np.round(probability * steps) / steps
    return probability.astype(np.float32), label, rng.random(samples) < 0.8


@pytest.mark.parametrize("specificity", [0.95, 0.8, 1.0, 0.0])
@pytest.mark.parametrize("steps", [None, 12])
def test_recall_at_specificity_is_the_best_point_of_the_roc_curve(specificity, steps):
    probability, label, mask = predictions(1, steps)
    found = RECALL(probability, label, mask, specificity=specificity)
    limit = THRESHOLD(probability, label, mask, specificity=specificity)
    for k in range(CLASSES):
        positive = label[mask] == k
        false, true, thresholds = oracle.roc_curve(positive, probability[mask, k], drop_intermediate=False)
        allowed = false <= 1 - specificity + 1e-9
        np.testing.assert_allclose(found[k], true[allowed].max(), rtol=RTOL)
        assert limit[k] == thresholds[allowed].min()


def test_threshold_of_validation_data_on_test_data():
    validation, test = predictions(2), predictions(3)
    limit = THRESHOLD(*validation)
    recall, specificity = recall_at_threshold(*test, limit), specificity_at_threshold(*test, limit)
    probability, label, mask = test
    for k in range(CLASSES):
        called = probability[mask, k] >= float(limit[k])
        np.testing.assert_allclose(recall[k], oracle.recall_score(label[mask] == k, called), rtol=RTOL)
        np.testing.assert_allclose(specificity[k], oracle.recall_score(label[mask] != k, ~called), rtol=RTOL)
    own = specificity_at_threshold(*validation, limit)
    assert (own >= 0.95).all()
    # one rejected negative fewer would be too few: the threshold is the lowest possible one (no ties here)
    negatives = np.array([(validation[1][validation[2]] != k).sum() for k in range(CLASSES)])
    assert (own - 1 / negatives < 0.95).all()


def test_one_in_twenty_is_exactly_one():
    """float32 has 1 - 0.95 = 0.0500000119: with 20 negatives exactly one may be above the threshold, not none."""
    score = jnp.linspace(0.0, 1.0, 21)
    label = jnp.array([0] * 19 + [1, 0])  # the highest score is a negative of class 1, the next its one positive
    probability = jnp.stack([1 - score, score], axis=1)
    assert recall_at_specificity(probability, label, jnp.ones(21, bool)).tolist()[1] == 1.0
    counts = np.array([0, 1, 19, 20, 399, 400, 10**6, 2**30])
    assert floor_share(jnp.asarray(counts), 1 - 0.95).tolist() == [int(count) // 20 for count in counts]


def test_mcc_and_kappa():
    for seed in range(3):
        probability, label, mask = predictions(seed)
        matrix = confusion(probability, label, mask)
        true, predicted = label[mask], probability[mask].argmax(1)
        np.testing.assert_allclose(mcc(matrix), oracle.matthews_corrcoef(true, predicted), rtol=RTOL)
        np.testing.assert_allclose(kappa(matrix), oracle.cohen_kappa_score(true, predicted), rtol=RTOL)


def test_agreement_of_many_samples_does_not_overflow():
    """10^9 samples: products of counts are far beyond int32."""
    matrix = np.array([[900_000_000, 3_000_000], [2_000_000, 95_000_000]])
    share = matrix / matrix.sum()
    chance = share.sum(0) @ share.sum(1)
    np.testing.assert_allclose(kappa(jnp.asarray(matrix)), (np.trace(share) - chance) / (1 - chance), rtol=RTOL)
    determinant = np.linalg.det(share)
    np.testing.assert_allclose(
        mcc(jnp.asarray(matrix)), determinant / np.sqrt(np.prod([*share.sum(0), *share.sum(1)])), rtol=RTOL
    )


def test_agreement_at_its_ends():
    right = jnp.diag(jnp.array([5, 3, 2]))
    assert mcc(right) == pytest.approx(1, rel=RTOL)
    assert kappa(right) == pytest.approx(1, rel=RTOL)
    constant = jnp.array([[6, 0, 0], [3, 0, 0], [1, 0, 0]])
    assert mcc(constant) == kappa(constant) == 0
    assert np.isnan(mcc(constant.T))
    assert np.isnan(kappa(jnp.array([[5, 0], [0, 0]])))
    assert np.isnan([mcc(jnp.zeros((3, 3), int)), kappa(jnp.zeros((3, 3), int))]).all()


def test_ec57_indices():
    probability, label, mask = predictions(4)
    matrix = confusion(probability, label, mask)
    true, predicted = label[mask], probability[mask].argmax(1)
    recall = oracle.recall_score(true, predicted, average=None)
    precision = oracle.precision_score(true, predicted, average=None)
    kept = (true != 3) | (predicted != 2)  # F called V is not counted
    ventricular = oracle.precision_score(true[kept] == 2, predicted[kept] == 2)
    assert ventricular > precision[2] * 1.01
    np.testing.assert_allclose(ventricular_precision(matrix, "NSVF"), ventricular, rtol=RTOL)
    j = recall[1] + recall[2] + precision[1] + ventricular
    np.testing.assert_allclose(j_index(matrix, "NSVF"), j, rtol=RTOL)
    np.testing.assert_allclose(
        jk_index(matrix, "NSVF"), oracle.cohen_kappa_score(true, predicted) / 2 + j / 8, rtol=RTOL
    )


def test_published_precisions_of_de_chazal():
    """+P of V 81.9 % and of S 38.5 % (de Chazal et al. 2004); the plain precision of V would be 81.7 %."""
    assert round(100 * float(ventricular_precision(DE_CHAZAL, "NSVF")), 1) == 81.9
    assert round(100 * float(DE_CHAZAL[1, 1] / DE_CHAZAL[:, 1].sum()), 1) == 38.5


def test_published_jk_indices():
    """Table of Mondéjar-Guerra et al. 2019: .612 for de Chazal et al., .640 for one SVM of their own."""
    assert round(float(jk_index(DE_CHAZAL, "NSVF")), 3) == 0.612
    assert round(float(jk_index(SINGLE_SVM, "NSVF")), 3) == 0.640


def test_ec57_where_it_is_undefined():
    """No V: NaN. V never predicted: precision zero, as elsewhere."""
    assert np.isnan(jk_index(jnp.diag(jnp.array([5, 2, 0])), "NSV"))
    missed = jnp.array([[5, 0, 0], [0, 2, 0], [4, 0, 0]])
    assert ventricular_precision(missed, "NSV") == 0
    assert j_index(missed, "NSV") == 2


@pytest.mark.parametrize("junk", [(np.nan, -1), (np.inf, 99), (0.5, 2)])
def test_padding_never_influences_a_result(junk):
    probability, label, mask = predictions(5)
    spoiled = np.where(mask[:, None], probability, junk[0]).astype(np.float32), np.where(mask, label, junk[1]), mask
    np.testing.assert_array_equal(THRESHOLD(probability, label, mask), THRESHOLD(*spoiled))
    np.testing.assert_array_equal(RECALL(probability, label, mask), RECALL(*spoiled))


def test_vmap_over_clients_is_a_loop():
    probability, label, mask = predictions(6)
    client = np.random.default_rng(0).integers(0, 5, SAMPLES)
    of_group = mask & (client == np.arange(5)[:, None])
    stacked = jax.jit(jax.vmap(recall_at_specificity, in_axes=(None, None, 0)))(probability, label, of_group)
    for index in range(5):
        np.testing.assert_array_equal(stacked[index], RECALL(probability, label, of_group[index]))


def test_undefined_operating_points():
    probability, label, mask = predictions(7)
    no_f = mask & (label != 3)
    assert np.isnan(RECALL(probability, label, no_f)).tolist() == [False, False, False, True]
    assert np.isnan(RECALL(probability, label, mask & (label == 0))).all()  # N has no negatives, the others no samples
    probability[np.flatnonzero(mask)[0], 1] = np.nan
    assert np.isnan(RECALL(probability, label, mask)).tolist() == [False, True, False, False]
    nothing = jnp.zeros((0, 3)), jnp.zeros(0, int), jnp.zeros(0, bool)
    assert np.isnan(recall_at_specificity(*nothing)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recall_at_threshold(jnp.ones((3, 2)), jnp.zeros(3, int), jnp.ones(3, bool), jnp.ones(3)), r"\(2,\)"),
        (lambda: recall_at_specificity(jnp.ones((3, 2)), jnp.zeros(3, int), jnp.ones(3, bool), 1.5), "between 0 and 1"),
        (lambda: jk_index(jnp.ones((3, 3), int), "NVF"), "need class S"),
        (lambda: jk_index(jnp.ones((3, 3), int), "NSVF"), "4 class names"),
    ],
)
def test_bad_arguments_are_rejected(call, message):
    with pytest.raises(BoflError, match=message):
        call()
