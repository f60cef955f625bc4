"""Conformal sets: exact against NumPy, and covering what the theory promises on exchangeable data.

Probabilities are multiples of 2^-10, so that sums and differences of them are exact and the comparisons too.
"""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import (
    aps_scores,
    class_thresholds,
    client_thresholds,
    conformal_threshold,
    lac_scores,
    prediction_sets,
    set_coverage,
)

CLASSES = 4
SCORES = {"lac": lac_scores, "aps": aps_scores}


def predictions(seed: int, samples: int):
    """Labels drawn from sharpened probabilities: exchangeable, and the model is not calibrated."""
    rng = np.random.default_rng(seed)
    exact = rng.dirichlet(np.array([1.0, 0.5, 0.3, 0.2]), samples)
    truth = exact**2 / (exact**2).sum(1, keepdims=True)
    label = (rng.random((samples, 1)) > truth.cumsum(1)).sum(1)
    probability = np.round(exact * 1024) / 1024
    return probability.astype(np.float32), np.minimum(label, CLASSES - 1), rng.random(samples) < 0.9


def scores_by_hand(name, probability):
    if name == "lac":
        return 1 - probability
    return np.array([[row[row >= row[k]].sum() for k in range(CLASSES)] for row in probability])


def quantile_by_hand(score, alpha):
    rank = math.ceil((len(score) + 1) * (1 - Fraction(str(alpha))))
    return np.sort(score)[rank - 1] if rank <= len(score) else np.inf


@pytest.mark.parametrize("alpha", [0.1, 0.05])
@pytest.mark.parametrize("name", SCORES)
def test_equals_brute_force(name, alpha):
    probability, label, mask = predictions(0, 300)
    client = np.random.default_rng(1).integers(0, 6, 300)
    client[(client == 3) & (np.arange(300) > 60)] = 4  # client 3 has too few samples
    scores = SCORES[name](jnp.asarray(probability))
    expected = scores_by_hand(name, probability)
    np.testing.assert_array_equal(scores, expected)
    true_scores = expected[np.arange(300), label]

    limit = conformal_threshold(scores, label, mask, alpha)
    assert limit == quantile_by_hand(true_scores[mask], alpha)
    of_class = class_thresholds(scores, label, mask, alpha)
    np.testing.assert_array_equal(
        of_class, [quantile_by_hand(true_scores[mask & (label == k)], alpha) for k in range(CLASSES)]
    )
    of_client = client_thresholds(scores, label, mask, client, 6, alpha)
    by_hand = [quantile_by_hand(true_scores[mask & (client == c)], alpha) for c in range(6)]
    np.testing.assert_array_equal(of_client, by_hand)
    assert np.isinf(of_client[3])

    for threshold in (limit, of_class, of_client[client][:, None]):
        sets = prediction_sets(scores, threshold)
        np.testing.assert_array_equal(sets, expected <= np.asarray(threshold))
        measured = set_coverage(sets, label, mask)
        hits, sizes = np.asarray(sets)[np.arange(300), label], np.asarray(sets).sum(1)
        np.testing.assert_allclose(measured.coverage, hits[mask].mean(), rtol=1e-6)
        np.testing.assert_allclose(measured.size, sizes[mask].mean(), rtol=1e-6)
        each = [hits[mask & (label == k)].mean() for k in range(CLASSES)]
        np.testing.assert_allclose(measured.class_coverage, each, rtol=1e-6)


@pytest.mark.parametrize("samples", [0, 8, 9, 18, 19])
def test_rank_is_exact(samples):
    """With alpha 0.1, 8 samples promise nothing, 9 need their highest score, and so do 18; 19 the second highest."""
    score = jnp.arange(20, dtype=jnp.float32)[:, None] * jnp.ones(2)
    limit = conformal_threshold(score, jnp.zeros(20, int), jnp.arange(20) < samples)
    assert limit == {0: np.inf, 8: np.inf, 9: 8, 18: 17, 19: 17}[samples]


@pytest.mark.parametrize("name", SCORES)
def test_coverage_on_exchangeable_data(name):
    """Within 0.90 +- 1.96 sqrt(0.09 / n) on n test samples; 40 000 calibration samples add 5 % to that at most."""
    calibration, test = predictions(2, 40_000), predictions(3, 4_000)
    score = SCORES[name]
    limit = conformal_threshold(score(calibration[0]), *calibration[1:])
    measured = set_coverage(prediction_sets(score(test[0]), limit), *test[1:])
    assert abs(measured.coverage - 0.9) < 1.96 * math.sqrt(0.09 / test[2].sum())
    assert 1 < measured.size < CLASSES
    top = np.mean((test[0].argmax(1) == test[1])[test[2]])
    assert top < 0.88, "the case is only interesting when the top label alone does not cover"


def test_each_class_is_covered_by_its_own_threshold():
    calibration, test = predictions(4, 40_000), predictions(5, 20_000)
    scores, scores_of_test = lac_scores(calibration[0]), lac_scores(test[0])
    one = set_coverage(prediction_sets(scores_of_test, conformal_threshold(scores, *calibration[1:])), *test[1:])
    each = set_coverage(prediction_sets(scores_of_test, class_thresholds(scores, *calibration[1:])), *test[1:])
    supports = np.array([np.sum(test[1][test[2]] == k) for k in range(CLASSES)])
    # 3 standard deviations, of the test and the (two times larger) calibration samples of a class
    band = 3 * np.sqrt(0.09 * 1.5 / supports)
    assert (np.abs(each.class_coverage - 0.9) < band).all()
    assert (np.abs(one.class_coverage - 0.9) > band).any()
    assert each.size > one.size


def test_small_calibration_sets_cover_as_exactly_as_the_theory_says():
    """Without ties the expected coverage is ceil((n + 1)(1 - alpha)) / (n + 1): 46 / 51 of 50 samples."""
    rng = np.random.default_rng(6)
    draws, samples = 2_000, 50
    score = rng.normal(size=(draws, samples + 20, 1)).astype(np.float32).repeat(2, axis=2)
    label, mask = np.zeros(samples, int), np.ones(samples, bool)
    limits = jax.jit(jax.vmap(conformal_threshold, in_axes=(0, None, None)))(score[:, :samples], label, mask)
    coverage = np.mean(score[:, samples:, 0] <= np.asarray(limits)[:, None], axis=1)
    # 4 standard errors of the mean over the draws: below 0.005
    assert coverage.mean() == pytest.approx(46 / 51, abs=4 * coverage.std() / math.sqrt(draws))


def test_one_pool_is_the_federated_calibration():
    """Scores of the clients, padded to one length each, give the threshold of all of them together."""
    probability, label, mask = predictions(7, 400)
    scores = lac_scores(jnp.asarray(probability))
    by_client = mask.reshape(8, 50)
    ordered = [np.asarray(scores).reshape(8, 50, CLASSES)[c][by_client[c]] for c in range(8)]
    pooled = conformal_threshold(scores, label, mask)
    assert pooled == conformal_threshold(np.concatenate(ordered), label[mask], np.ones(mask.sum(), bool))
    stacked = jax.vmap(conformal_threshold)(scores.reshape(8, 50, CLASSES), label.reshape(8, 50), by_client)
    client = np.arange(400) // 50
    np.testing.assert_array_equal(stacked, client_thresholds(scores, label, mask, client, 8))


@pytest.mark.parametrize("junk", [(np.nan, -1), (np.inf, 99), (0.5, 2)])
def test_padding_never_influences_a_result(junk):
    def measure(probability, label, mask):
        scores = aps_scores(probability)
        limits = conformal_threshold(scores, label, mask), class_thresholds(scores, label, mask)
        return limits, [set_coverage(prediction_sets(scores, limit), label, mask) for limit in limits]

    probability, label, mask = predictions(8, 200)
    spoiled = np.where(mask[:, None], probability, junk[0]).astype(np.float32), np.where(mask, label, junk[1]), mask
    measure = jax.jit(measure)
    jax.tree.map(np.testing.assert_array_equal, measure(probability, label, mask), measure(*spoiled))


def test_without_calibration_samples_sets_hold_all_classes():
    """Without calibration samples, and for a diverged model, no class may be ruled out."""
    scores = lac_scores(jnp.array([[0.9, 0.1], [jnp.nan, jnp.nan]]))
    limit = conformal_threshold(scores, jnp.zeros(2, int), jnp.zeros(2, bool))
    assert np.asarray(prediction_sets(scores, limit)).all()
    assert prediction_sets(scores, 0.5).tolist() == [[True, False], [True, True]]
    assert np.isinf(conformal_threshold(scores, jnp.zeros(2, int), jnp.ones(2, bool), alpha=0.4))
    measured = set_coverage(prediction_sets(scores, limit), jnp.zeros(2, int), jnp.zeros(2, bool))
    assert all(np.isnan(values).all() for values in measured)
    assert np.isnan(aps_scores(scores)[1]).all()


def test_bad_arguments_are_rejected():
    scores, label, mask = jnp.ones((3, 2)), jnp.zeros(3, int), jnp.ones(3, bool)
    with pytest.raises(BoflError, match="alpha is 1"):
        conformal_threshold(scores, label, mask, alpha=1)
    with pytest.raises(BoflError, match="client has shape"):
        client_thresholds(scores, label, mask, jnp.zeros(4, int), 2)
