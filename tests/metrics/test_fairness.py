"""Fairness against the formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import equal_opportunity_gap, fairness, unseen_class_recall


def oracle(values):
    lowest = -(-len(values) // 10)
    return {
        "mean": values.mean(),
        "sd": values.std(),
        "worst_10_percent": np.sort(values)[:lowest].mean(),
        "jain": values.sum() ** 2 / (len(values) * (values**2).sum()),
        "variance": values.var(),
        "gini": np.abs(np.subtract.outer(values, values)).mean() / (2 * values.mean()),
    }


@pytest.mark.parametrize("clients", [1, 2, 9, 10, 11, 44, 100, 1_000])
def test_equals_the_formulas(clients):
    rng = np.random.default_rng(clients)
    values = rng.random(clients + 7).astype(np.float32)
    mask = np.zeros(clients + 7, bool)
    mask[rng.permutation(clients + 7)[:clients]] = True
    measured = fairness(jnp.asarray(values), jnp.asarray(mask)).as_dict()
    expected = oracle(values[mask].astype(np.float64))
    # sd of one client is exactly zero on both sides, so a tiny absolute tolerance for it alone
    assert measured == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("junk", [np.nan, np.inf, -5.0])
def test_clients_outside_the_mask_do_not_count(junk):
    values, mask = jnp.asarray([0.9, 0.5, 0.7, 0.1]), jnp.asarray([True, True, False, True])
    left, right = fairness(values, mask), fairness(values.at[2].set(junk), mask)
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_one_client_with_everything_and_all_clients_equal():
    everyone = jnp.ones(20, bool)
    assert fairness(jnp.eye(20)[0], everyone).jain == pytest.approx(1 / 20)
    assert fairness(jnp.full(20, 0.5), everyone).as_dict() == {
        "mean": 0.5,
        "sd": 0.0,
        "worst_10_percent": 0.5,
        "jain": 1.0,
        "variance": 0.0,
        "gini": 0.0,
    }
    assert fairness(jnp.eye(20)[0], everyone).gini == pytest.approx(1 - 1 / 20)


def test_undefined_numbers_are_written_as_none():
    assert set(fairness(jnp.ones(3), jnp.zeros(3, bool)).as_dict().values()) == {None}
    assert fairness(jnp.zeros(3), jnp.ones(3, bool)).as_dict()["jain"] is None
    assert fairness(jnp.zeros(3), jnp.ones(3, bool)).as_dict()["gini"] is None


def test_names_of_the_result_file_stay_in_their_order():
    names = list(fairness(jnp.ones(3), jnp.ones(3, bool)).as_dict())
    assert names == ["mean", "sd", "worst_10_percent", "jain", "variance", "gini"]


def test_vmap_over_rounds_is_a_loop():
    rng = np.random.default_rng(0)
    values, mask = jnp.asarray(rng.random((4, 30)), jnp.float32), jnp.asarray(rng.random((4, 30)) < 0.8)
    stacked = jax.vmap(fairness)(values, mask)
    for index in range(4):
        one = fairness(values[index], mask[index])
        jax.tree.map(lambda a, b, i=index: np.testing.assert_allclose(a, b[i], rtol=1e-6), one, stacked)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 100).map(lambda percent: percent / 100), min_size=25, max_size=25))
def test_bounds(values):
    measured = fairness(jnp.asarray(values, jnp.float32), jnp.ones(25, bool)).as_dict()
    assert 1 / 25 <= measured["jain"] <= 1 + 1e-6
    assert min(values) * (1 - 1e-6) <= measured["worst_10_percent"] <= measured["mean"] * (1 + 1e-6)
    assert 0 <= measured["sd"] <= 0.5
    assert -1e-6 <= measured["gini"] <= 1 - 1 / 25


def test_shapes_that_do_not_belong_together_are_rejected():
    with pytest.raises(BoflError, match=r"values\[C\] and mask\[C\]"):
        fairness(jnp.ones(3), jnp.ones(4, bool))


def test_unseen_classes_by_brute_force():
    rng = np.random.default_rng(5)
    probability = rng.dirichlet(np.ones(4), 300).astype(np.float32)
    label, client = rng.integers(0, 4, 300), rng.integers(0, 6, 300)
    seen = rng.random((6, 4)) < 0.6
    hits = [probability[i].argmax() == label[i] for i in range(300) if not seen[client[i], label[i]]]
    found = unseen_class_recall(jnp.asarray(probability), jnp.asarray(label), jnp.asarray(client), jnp.asarray(seen))
    assert int(found.support) == len(hits) > 50
    assert float(found.recall) == pytest.approx(np.mean(hits), rel=1e-6)


def test_without_unseen_classes_there_is_no_such_recall():
    probability, nothing = jnp.full((3, 2), 0.5), jnp.zeros(3, jnp.int32)
    found = unseen_class_recall(probability, nothing, nothing, jnp.ones((1, 2), bool))
    assert np.isnan(found.recall)
    with pytest.raises(BoflError, match=r"needs seen\[C, 2\]"):
        unseen_class_recall(probability, nothing, nothing, jnp.ones((1, 3), bool))


def test_equal_opportunity_gap_by_brute_force():
    rng = np.random.default_rng(6)
    probability = rng.dirichlet(np.ones(4), 400).astype(np.float32)
    label, group, mask = rng.integers(0, 4, 400), rng.integers(0, 5, 400), rng.random(400) < 0.8
    label = np.where((label == 3) & (group != 2), 0, label)  # only one group has class 3
    label = np.where((label == 1) & (group == 4), 0, label)  # one group lacks class 1
    found = equal_opportunity_gap(probability, label, mask, group, groups=5)
    hit = probability.argmax(1) == label
    for k in range(3):
        parts = [hit[mask & (label == k) & (group == g)] for g in range(5)]
        recalls = [part.mean() for part in parts if len(part)]
        assert len(recalls) == (4 if k == 1 else 5)
        assert float(found[k]) == pytest.approx(max(recalls) - min(recalls), abs=1e-6)
    assert np.isnan(found[3])
    spoiled = np.where(mask[:, None], probability, np.nan), np.where(mask, label, -1), mask, np.where(mask, group, 77)
    np.testing.assert_array_equal(found, equal_opportunity_gap(*spoiled, groups=5))
    with pytest.raises(BoflError, match="at least 2"):
        equal_opportunity_gap(probability, label, mask, group, groups=1)
