"""Behaviour that no oracle covers: padding, vmap, degenerate predictors, the written dictionary, rejected inputs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bofl_jax import metrics
from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import auprc, auroc, client_metrics, compute_metrics, group_confusions, to_summary
from bofl_jax.metrics.arithmetic import pairwise_sum

JITTED_AUROC = jax.jit(auroc)
KEYS = ["accuracy", "balanced_accuracy", "macro_f1", "macro_f1_nsv", "auroc_macro", "auprc_macro", "ece", "brier"]


def random_predictions(seed: int, shape: tuple[int, ...], classes: int):
    rng = np.random.default_rng(seed)
    probability = np.round(rng.dirichlet(np.ones(classes), shape), 2).astype(np.float32)
    label = rng.integers(0, classes, shape).astype(np.int32)
    return jnp.asarray(probability), jnp.asarray(label), jnp.asarray(rng.random(shape) < 0.7)


def assert_same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.mark.parametrize("junk", [(np.nan, -1), (np.inf, 999), (-np.inf, -999), (0.5, 0), (1e30, 2)])
def test_padding_never_influences_a_result(junk):
    probability, label, mask = random_predictions(0, (500,), 4)
    spoiled_probability = jnp.where(mask[:, None], probability, junk[0])
    spoiled_label = jnp.where(mask, label, junk[1])
    assert_same(compute_metrics(probability, label, mask), compute_metrics(spoiled_probability, spoiled_label, mask))


def test_place_of_the_padding_does_not_matter():
    probability, label, mask = random_predictions(1, (500,), 4)
    packed = jnp.argsort(~mask, stable=True)
    left, right = (
        compute_metrics(probability, label, mask),
        compute_metrics(probability[packed], label[packed], mask[packed]),
    )
    # The same numbers are added in another order, so the last bits of the sums may differ.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), left, right)


@pytest.mark.parametrize("classes", [2, 4])
def test_vmap_over_a_leading_axis_is_a_loop(classes):
    probability, label, mask = random_predictions(2, (5, 500), classes)
    stacked = jax.vmap(compute_metrics)(probability, label, mask)
    for index in range(5):
        one = compute_metrics(probability[index], label[index], mask[index])
        assert_same(one["confusion"], stacked["confusion"][index])
        jax.tree.map(lambda a, b, i=index: np.testing.assert_allclose(a, b[i], rtol=1e-6, atol=1e-7), one, stacked)


def test_traced_once_for_a_shape():
    traces = []

    @jax.jit
    def counted(*predictions):
        traces.append(1)
        return compute_metrics(*predictions)

    for seed in range(3):
        counted(*random_predictions(seed, (50,), 3))
    assert len(traces) == 1


def test_perfect_predictor():
    label = jnp.asarray(np.random.default_rng(3).integers(0, 4, 500), jnp.int32)
    measured = to_summary(compute_metrics(jax.nn.one_hot(label, 4), label, jnp.ones(500, bool)), "NSVF")
    assert [measured[key] for key in KEYS] == [1.0] * 6 + [0.0] * 2
    for row in measured["per_class"].values():
        assert [row[key] for key in ("recall", "precision", "f1", "specificity")] == [1.0] * 4


def test_constant_predictor():
    label = jnp.asarray([0] * 60 + [1] * 30 + [2] * 10, jnp.int32)
    probability = jnp.tile(jnp.asarray([0.5, 0.25, 0.25], jnp.float32), (100, 1))
    measured = compute_metrics(probability, label, jnp.ones(100, bool))
    np.testing.assert_allclose(measured["accuracy"], 0.6, rtol=1e-6)
    np.testing.assert_allclose(measured["balanced_accuracy"], 1 / 3, rtol=1e-6)
    np.testing.assert_array_equal(auroc(probability, label, jnp.ones(100, bool)), [0.5] * 3)
    np.testing.assert_allclose(auprc(probability, label, jnp.ones(100, bool)), [0.6, 0.3, 0.1], rtol=1e-6)
    np.testing.assert_allclose(measured["ece"], 0.1, rtol=1e-6)
    np.testing.assert_array_equal(measured["recall"], [1, 0, 0])
    np.testing.assert_array_equal(measured["precision"][1:], [0, 0])
    np.testing.assert_array_equal(measured["specificity"], [0, 1, 1])


def test_reversed_ranking_has_area_zero():
    label = jnp.arange(30, dtype=jnp.int32) % 2
    assert JITTED_AUROC(jax.nn.one_hot(1 - label, 2), label, jnp.ones(30, bool)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("samples", [0, 5])
def test_no_sample_at_all_is_undefined_everywhere(samples):
    shape = jnp.full((samples, 3), 1 / 3), jnp.zeros(samples, jnp.int32), jnp.zeros(samples, bool)
    written = to_summary(compute_metrics(*shape), "NSV")
    assert [written[key] for key in KEYS] == [None] * 8
    none = {"recall": None, "precision": None, "f1": None, "specificity": None, "support": 0}
    assert written["per_class"] == dict.fromkeys("NSV", none)


def test_a_diverged_model_never_writes_nan():
    probability = jnp.asarray([[0.5, 0.5], [jnp.nan, jnp.nan], [0.1, 0.9]])
    written = to_summary(compute_metrics(probability, jnp.asarray([0, 0, 1]), jnp.ones(3, bool)), "NV")
    assert [written[key] for key in ("auroc_macro", "auprc_macro", "ece", "brier")] == [None] * 4
    json.dumps(written, allow_nan=False)


def test_dictionary_has_exactly_the_contracted_keys_and_plain_values():
    written = to_summary(compute_metrics(*random_predictions(4, (500,), 4)), ("N", "S", "V", "F"))
    assert list(written) == [*KEYS, "per_class"]
    assert list(written["per_class"]) == ["N", "S", "V", "F"]
    for row in written["per_class"].values():
        assert {key: type(value) for key, value in row.items()} == {
            **dict.fromkeys(("recall", "precision", "f1", "specificity"), float),
            "support": int,
        }
    assert all(type(written[key]) is float for key in KEYS)
    assert json.loads(json.dumps(written, allow_nan=False)) == written


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (("N", "S", "V"), [0, 1, 2], 1.0),
        (("N", "S", "V"), [0, 1, 1], 1.0),  # V has no samples: the mean is over N and S
        (("N", "V", "F"), [0, 1, 2], None),  # S is not among the classes
        (("V", "F", "S", "N"), [1, 1, 1], None),  # none of the three has samples
    ],
)
def test_macro_f1_over_n_s_v(classes, labels, expected):
    label = jnp.asarray(labels)
    written = to_summary(compute_metrics(jax.nn.one_hot(label, len(classes)), label, jnp.ones(3, bool)), classes)
    assert written["macro_f1_nsv"] == expected


def test_macro_f1_over_n_s_v_ignores_the_other_classes():
    label = jnp.asarray([0, 1, 2, 3])
    probability = jax.nn.one_hot(jnp.asarray([0, 1, 2, 0]), 4)
    written = to_summary(compute_metrics(probability, label, jnp.ones(4, bool)), "NSVF")
    assert written["macro_f1_nsv"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert written["macro_f1"] == pytest.approx((2 / 3 + 1 + 1 + 0) / 4)


@settings(max_examples=60, deadline=None)
@given(
    scores=arrays.arrays(np.int8, (40, 3), elements=st.integers(0, 4)),
    label=arrays.arrays(np.int32, 40, elements=st.integers(0, 2)),
    mask=arrays.arrays(bool, 40),
    seed=st.integers(0, 1_000),
)
def test_bounds_and_order_invariance(scores, label, mask, seed):
    probability = (scores / 4).astype(np.float32)
    measured = jax.device_get(compute_metrics(probability, label, mask))
    for name, value in measured.items():
        if name not in ("confusion", "support"):
            top = 3.0 if name == "brier" else 1.0
            defined = np.asarray(value)[~np.isnan(value)]
            assert ((defined >= 0) & (defined <= top * (1 + 1e-6))).all(), name
    assert measured["support"].sum() == mask.sum()
    order = np.random.default_rng(seed).permutation(40)
    shuffled = jax.device_get(compute_metrics(probability[order], label[order], mask[order]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), measured, shuffled)


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.int8, (30, 2), elements=st.integers(0, 5)), arrays.arrays(np.int32, 30, elements=st.integers(0, 1))
)
def test_area_is_the_chance_of_a_right_order(scores, label):
    """The definition by Mann and Whitney, by brute force: the share of ordered pairs, where a tie counts half."""
    area = np.asarray(JITTED_AUROC(scores.astype(np.float32) / 8, label, np.ones(30, bool)))
    for k in range(2):
        difference = np.subtract.outer(scores[label == k, k], scores[label != k, k])
        if difference.size:
            np.testing.assert_allclose(area[k], np.mean((difference > 0) + 0.5 * (difference == 0)), rtol=1e-6)
        else:
            assert np.isnan(area[k])


def test_pairwise_sum_stays_accurate_where_a_running_sum_does_not():
    values = jnp.full(1_000_003, 0.1, jnp.float32)
    exact = 1_000_003 * float(np.float32(0.1))
    running = float(np.cumsum(np.asarray(values), dtype=np.float32)[-1])
    assert abs(running / exact - 1) > 1e-4
    np.testing.assert_allclose(pairwise_sum(values), exact, rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_client_metrics_are_the_metrics_of_each_client_alone(classes):
    probability, label, mask = random_predictions(6, (500,), classes)
    client = jnp.asarray(np.random.default_rng(7).integers(0, 8, 500), jnp.int32)
    client = jnp.where(client == 3, 4, client)  # client 3 has no samples
    measured = client_metrics(probability, label, client, 8, mask)
    for index in range(8):
        alone = compute_metrics(probability, label, mask & (client == index))
        np.testing.assert_array_equal(measured.accuracy[index], alone["accuracy"])
        np.testing.assert_allclose(measured.macro_f1[index], alone["macro_f1"], rtol=1e-6)
        assert measured.support[index] == alone["support"].sum()
    assert np.isnan(measured.accuracy[3])
    assert np.isnan(measured.macro_f1[3])


def test_client_metrics_without_mask_count_every_sample():
    probability, label, _ = random_predictions(8, (100,), 3)
    client = jnp.arange(100, dtype=jnp.int32) % 4
    assert_same(
        client_metrics(probability, label, client, 4), client_metrics(probability, label, client, 4, label >= 0)
    )


@pytest.mark.parametrize("junk", [-1, 99])
def test_client_padding_never_influences_a_result(junk):
    probability, label, mask = random_predictions(9, (300,), 3)
    client = jnp.arange(300, dtype=jnp.int32) % 5
    spoiled = (
        jnp.where(mask[:, None], probability, jnp.nan),
        jnp.where(mask, label, junk),
        jnp.where(mask, client, junk),
    )
    assert_same(client_metrics(probability, label, client, 5, mask), client_metrics(*spoiled, 5, mask))


ONES = jnp.ones(3, bool)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compute_metrics(jnp.ones(3), jnp.zeros(3, int), ONES), r"probability has shape \(3,\)"),
        (lambda: compute_metrics(jnp.ones((3, 1)), jnp.zeros(3, int), ONES), "K >= 2"),
        (lambda: compute_metrics(jnp.ones((3, 2)), jnp.zeros(4, int), ONES), r"label has shape \(4,\): give \(3,\)"),
        (lambda: compute_metrics(jnp.ones((3, 2)), jnp.zeros(3, int), jnp.ones(2, bool)), r"mask has shape \(2,\)"),
        (lambda: client_metrics(jnp.ones((3, 2)), jnp.zeros(3, int), jnp.zeros(2, int), 2), "client has shape"),
        (lambda: client_metrics(jnp.ones((3, 2)), jnp.zeros(3, int), jnp.zeros(3, int), 0), "at least one client"),
        (lambda: to_summary(compute_metrics(jnp.ones((3, 2)), jnp.zeros(3, int), ONES), "NSV"), "3 class names"),
    ],
)
def test_shapes_that_do_not_belong_together_are_rejected(call, message):
    with pytest.raises(BoflError, match=message):
        call()


MATRIX_METRICS = ("recall", "precision", "f1", "specificity", "accuracy", "balanced_accuracy", "macro_f1")


@pytest.mark.parametrize("name", MATRIX_METRICS)
def test_many_matrices_in_numpy_are_each_matrix_in_jax(name):
    """NumPy in float64, JAX in float32; some classes are missing or never predicted."""
    matrices = np.random.default_rng(3).integers(0, 5, (20, 4, 4)) * (np.random.default_rng(4).random((20, 4, 1)) < 0.8)
    matrices[0] = [[3, 1, 0, 0], [0, 0, 0, 0], [2, 0, 0, 1], [0, 1, 0, 0]]
    function = getattr(metrics, name)
    found = function(matrices)
    assert type(found) is np.ndarray
    assert found.dtype == np.float64
    for matrix, value in zip(matrices, found, strict=True):
        one = function(jnp.asarray(matrix))
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(value, one, rtol=1e-6)


def test_groups_are_counted_in_numpy_as_in_jax():
    probability, label, mask = random_predictions(10, (300,), 4)
    group = np.arange(300) % 6 - 1  # -1 and 4 count nowhere
    columns = (np.asarray(probability), np.asarray(label), group)
    found = group_confusions(*columns, 4, np.asarray(mask))
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, group_confusions(*map(jnp.asarray, columns), 4, mask))
    assert found.sum() == (np.asarray(mask) & (group >= 0) & (group < 4)).sum()
