"""Intervals and tests against SciPy, statsmodels where it is installed, closed forms and enumeration.

Numbers are float64; metrics of a confusion matrix are float32, so that 1e-6 is the tolerance where they enter.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import (
    accuracy,
    cliffs_delta,
    clustered_bootstrap,
    holm,
    macro_f1,
    map_matrices,
    mean_over_seeds,
    paired_permutation,
    recall,
    resampled_metric,
    tost,
    wilcoxon,
)

SEEDS, PEOPLE, CLASSES = 3, 12, 3


def matrices(seed: int, skill: float = 2.0):
    """int[S, P, K, K]: every person has classes and difficulties of its own, the same in every seed."""
    rng = np.random.default_rng(seed)
    counts = np.random.default_rng(0).integers(1, 60, (PEOPLE, CLASSES))
    chance = np.array([rng.dirichlet(np.ones(CLASSES) + skill * np.eye(CLASSES)[k], PEOPLE) for k in range(CLASSES)])
    return np.stack(
        [
            [[rng.multinomial(counts[p, k], chance[k, p]) for k in range(CLASSES)] for p in range(PEOPLE)]
            for _ in range(SEEDS)
        ]
    )


def by_hand(metric, row, people, seeds):
    """The metric of each drawn seed with the drawn people's matrices added up one by one; the mean of them."""
    return np.mean([float(metric(sum(row[s, p] for p in people))) for s in seeds])


def test_metrics_of_many_matrices():
    row = matrices(1)
    found = map_matrices(recall, row)
    assert found.shape == (SEEDS, PEOPLE, CLASSES)
    np.testing.assert_allclose(found, np.diagonal(row, axis1=2, axis2=3) / row.sum(3), rtol=1e-6)


def test_statistic_counts_the_drawn_people_and_seeds():
    one, other = matrices(1), matrices(2)
    people, seeds = [0, 3, 3, 7, 11, 11, 11], [0, 2, 2]
    often = np.bincount(people, minlength=PEOPLE)[None], np.bincount(seeds, minlength=SEEDS)[None]
    for metric in (accuracy, macro_f1):
        expected = by_hand(metric, one, people, seeds), by_hand(metric, other, people, seeds)
        np.testing.assert_allclose(resampled_metric(metric, one)(*often), expected[0], rtol=1e-6)
        difference = expected[0] - expected[1]
        np.testing.assert_allclose(resampled_metric(metric, one, other)(*often), difference, rtol=1e-5)


def test_interval_is_the_one_of_scipy():
    """Of the mean accuracy of people with equally many samples, which is the accuracy of all of them together."""
    hits = np.random.default_rng(3).integers(20, 101, PEOPLE)
    row = np.zeros((1, PEOPLE, 2, 2), int)
    row[0, :, 0, 0], row[0, :, 0, 1] = hits, 100 - hits
    found = clustered_bootstrap(resampled_metric(accuracy, row), PEOPLE, resamples=999, seed=7)
    expected = stats.bootstrap(
        (hits / 100,), np.mean, n_resamples=999, method="percentile", batch=500, rng=np.random.default_rng(7)
    ).confidence_interval
    np.testing.assert_allclose(found[:3], [hits.mean() / 100, *expected], rtol=1e-6)
    assert found.undefined == 0


def test_interval_by_hand():
    """Every draw of people and seeds is made again with plain loops."""
    one, other = matrices(1), matrices(2, skill=4.0)
    drawn = []

    def spied(people, seeds):
        drawn.extend(zip(people, seeds, strict=True))
        return statistic(people, seeds)

    statistic = resampled_metric(accuracy, other, one)
    found = clustered_bootstrap(spied, PEOPLE, SEEDS, resamples=60, level=0.8)
    values = []
    for often_people, often_seeds in drawn[:60]:
        assert (often_people.sum(), often_seeds.sum()) == (PEOPLE, SEEDS)
        people, seeds = (np.repeat(np.arange(len(often)), often) for often in (often_people, often_seeds))
        values.append(by_hand(accuracy, other, people, seeds) - by_hand(accuracy, one, people, seeds))
    np.testing.assert_allclose([found.low, found.high], np.quantile(values, [0.1, 0.9]), atol=1e-6)
    everyone = range(PEOPLE), range(SEEDS)
    estimate = by_hand(accuracy, other, *everyone) - by_hand(accuracy, one, *everyone)
    np.testing.assert_allclose(found.estimate, estimate, atol=1e-6)
    assert len({tuple(seeds) for _, seeds in drawn[:60]}) > 3, "seeds are drawn too"


def test_seeds_can_stay():
    seeds = []

    def spied(people, often):
        seeds.append(often)
        return people[:, 0] + 0.0

    clustered_bootstrap(spied, PEOPLE, SEEDS, draw_seeds=False, resamples=20)
    assert all((often == 1).all() for often in seeds)


def test_draws_are_paired_and_reproducible():
    """The difference of a row from itself is zero in every draw, and a second call says the same."""
    one, other = matrices(1), matrices(2)
    same = clustered_bootstrap(resampled_metric(macro_f1, one, one), PEOPLE, SEEDS, resamples=200)
    assert same[:3] == (0, 0, 0)
    twice = [
        clustered_bootstrap(resampled_metric(macro_f1, one, other), PEOPLE, SEEDS, resamples=200) for _ in range(2)
    ]
    assert twice[0] == twice[1]
    assert twice[0] != clustered_bootstrap(resampled_metric(macro_f1, one, other), PEOPLE, SEEDS, resamples=200, seed=1)


def test_intervals_over_people_are_wider_than_over_samples():
    """The reason for all this: people differ, and samples of one person do not tell of the others."""
    hits = np.array([100, 100, 95, 90, 100, 20, 100, 95, 100, 60, 100, 100])
    row = np.zeros((1, PEOPLE, 2, 2), int)
    row[0, :, 0, 0], row[0, :, 0, 1] = hits, 100 - hits
    found = clustered_bootstrap(resampled_metric(accuracy, row), PEOPLE)
    binomial = 2 * 1.96 * np.sqrt(hits.mean() / 100 * (1 - hits.mean() / 100) / (100 * PEOPLE))
    assert found.high - found.low > 5 * binomial


def test_draws_without_the_class_are_left_out_and_counted():
    row = np.zeros((1, PEOPLE, 2, 2), int)
    row[0, :, 0, 0] = 10
    row[0, 0, 1] = [5, 15]  # one person has the class

    def recall_of_1(matrix):
        return recall(matrix)[1]

    found = clustered_bootstrap(resampled_metric(recall_of_1, row), PEOPLE, resamples=2_000)
    assert found[:3] == (0.75, 0.75, 0.75)
    missed = (1 - 1 / PEOPLE) ** PEOPLE
    assert abs(found.undefined / 2_000 - missed) < 4 * np.sqrt(missed * (1 - missed) / 2_000)
    nobody = clustered_bootstrap(resampled_metric(recall_of_1, row[:, 1:]), PEOPLE - 1, resamples=50)
    assert np.isnan(nobody[:3]).all()
    assert nobody.undefined == 50


def test_coverage_of_the_interval():
    """A 90 % interval of the mean of 40 people holds the true one in about 9 of 10 experiments."""
    rng = np.random.default_rng(11)
    inside = 0
    for _ in range(200):
        values = rng.normal(size=40)
        found = clustered_bootstrap(lambda people, _, v=values: people @ v / 40, 40, level=0.9, resamples=400)
        inside += found.low < 0 < found.high
    # binomial sd .021; the percentile interval of 40 samples is known to be a little short (about .88)
    assert 0.82 < inside / 200 < 0.95


def test_permutation_test_by_enumeration():
    one, other = matrices(1)[:, :6], matrices(2, skill=3.0)[:, :6]
    both = np.stack([one, other])

    def difference(toss):
        picked = both[np.array(toss), :, np.arange(6)].swapaxes(0, 1)
        rest = both[1 - np.array(toss), :, np.arange(6)].swapaxes(0, 1)
        return by_hand(macro_f1, picked, range(6), range(SEEDS)) - by_hand(macro_f1, rest, range(6), range(SEEDS))

    tossed = np.array([difference(toss) for toss in itertools.product((0, 1), repeat=6)])
    # SciPy's exact two-sided p-value: twice the smaller tail
    tails = np.mean(tossed >= tossed[0] - 1e-6), np.mean(tossed <= tossed[0] + 1e-6)
    assert paired_permutation(macro_f1, one, other) == pytest.approx(min(1, 2 * min(tails)))
    assert paired_permutation(macro_f1, one, one) == 1


@pytest.mark.parametrize("pairs", [5, 6, 8, 10])
def test_smallest_p_of_wilcoxon(pairs):
    better = np.linspace(0.7, 0.8, pairs) + np.linspace(0.01, 0.02, pairs)
    assert wilcoxon(better, np.linspace(0.7, 0.8, pairs)) == pytest.approx(2 / 2**pairs)


def test_wilcoxon_by_enumeration_and_with_equal_pairs():
    one, other = np.random.default_rng(4).normal(size=(2, 7))
    ranks = stats.rankdata(np.abs(one - other))
    sums = np.array([np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=7)])
    found = np.dot(one > other, ranks)
    tail = min(np.mean(sums >= found), np.mean(sums <= found))
    assert wilcoxon(one, other) == pytest.approx(min(1, 2 * tail))
    assert wilcoxon(one, one) == 1
    one[3] = other[3]
    assert 0 < wilcoxon(one, other) <= 1


def test_holm_by_hand():
    """Holm's own rule: reject in order while p_(i) <= alpha / (m - i + 1); adjusted p <= alpha says the same."""
    p = np.array([0.04, 0.001, 0.012, 0.3, 0.011])
    for alpha in (0.005, 0.03, 0.04, 0.05, 0.1, 0.5):
        rejected, order = np.zeros(5, bool), np.argsort(p)
        for place, index in enumerate(order):
            if p[index] > alpha / (5 - place):
                break
            rejected[index] = True
        np.testing.assert_array_equal(holm(p) <= alpha, rejected)
    np.testing.assert_allclose(holm(p), [0.08, 0.005, 0.044, 0.3, 0.044])


def test_holm_is_the_one_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(6)
    for p in (rng.random(1), rng.random(20), np.round(rng.random(20), 1)):  # few: statsmodels collects garbage in each
        np.testing.assert_allclose(holm(p), multitest.multipletests(p, method="holm")[1], rtol=1e-12)


@pytest.mark.parametrize("decimals", [8, 1])
def test_cliffs_delta_is_the_u_statistic(decimals):
    rng = np.random.default_rng(5)
    one, other = np.round(rng.normal(0.5, 1, 20), decimals), np.round(rng.normal(size=15), decimals)
    u = stats.mannwhitneyu(one, other).statistic
    assert cliffs_delta(one, other) == pytest.approx(2 * u / (20 * 15) - 1)
    assert cliffs_delta([2, 3], [0, 1]) == 1 == -cliffs_delta([0, 1], [2, 3])


@pytest.mark.parametrize("margin", [0.002, 0.02, 0.2])
def test_equivalence_in_closed_form(margin):
    rng = np.random.default_rng(6)
    one = rng.normal(0.8, 0.05, 10)
    other = one + rng.normal(0.002, 0.01, 10)
    found = tost(one, other, margin)
    mean, error = np.mean(one - other), np.std(one - other, ddof=1) / np.sqrt(10)
    assert found.p == pytest.approx(
        max(stats.t.sf((mean + margin) / error, 9), stats.t.cdf((mean - margin) / error, 9))
    )
    half = stats.t.ppf(0.95, 9) * error
    np.testing.assert_allclose([found.difference, found.low, found.high], [mean, mean - half, mean + half])
    assert (found.p < 0.05) == (-margin < found.low and found.high < margin)


def test_equivalence_is_the_one_of_statsmodels():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    one, other = np.random.default_rng(7).normal(0.8, 0.01, (2, 10))
    assert tost(one, other, 0.01).p == pytest.approx(weightstats.ttost_paired(one, other, -0.01, 0.01)[0])


def test_equal_to_the_bit_is_equivalent():
    """Governance on and off: no difference in any seed. A constant one beyond the margin is not equivalent."""
    assert tost([0.9, 0.8], [0.9, 0.8], 0.002).p == 0
    assert tost([1.0, 2.0], [0.5, 1.5], 0.002).p == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resampled_metric(accuracy, matrices(1)[0]), r"give \[S, P, K, K\]"),
        (lambda: resampled_metric(accuracy, matrices(1), matrices(1)[:, 1:]), r"give \[S, P, K, K\]"),
        (lambda: paired_permutation(accuracy, matrices(1), matrices(1)[:, 1:]), "not paired"),
        (lambda: clustered_bootstrap(lambda people, _: people[:, 0], 1), "at least 2 people"),
        (lambda: wilcoxon([1.0, 2.0], [1.0]), "not pairs"),
        (lambda: holm([0.1, np.nan]), "between 0 and 1"),
        (lambda: cliffs_delta([], [1.0]), "at least one result"),
        (lambda: tost([1.0], [1.0], 0.1), "at least 2 pairs"),
        (lambda: tost([1.0, 2.0], [1.0, 2.0], 0), "above 0"),
    ],
)
def test_bad_arguments_are_rejected(call, message):
    with pytest.raises(BoflError, match=message):
        call()


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_interval_over_seeds_is_students(seeds):
    values = np.random.default_rng(seeds).random(seeds)
    found = mean_over_seeds([*values, np.nan])
    low, high = stats.t.interval(0.95, seeds - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose(found[:4], [values.mean(), values.std(ddof=1), low, high], rtol=1e-12)
    assert found.seeds == seeds


def test_a_single_seed_has_a_mean_and_no_interval():
    assert mean_over_seeds([0.3])[0] == 0.3
    assert np.isnan(mean_over_seeds([0.3])[1:4]).all()
    assert mean_over_seeds([np.nan]).seeds == 0
