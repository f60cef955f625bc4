"""The registry of metrics: what an entry promises, what is rejected, and that the package's own entries keep it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import (
    METRICS,
    FromConfusion,
    MeanOverClasses,
    Metric,
    MetricRegistry,
    Place,
    accuracy,
    compute_metrics,
    ece,
    map_matrices,
    mcc,
    recall,
    to_summary,
)

CLASSES = ("N", "S", "V")
COMPUTED = [metric for metric in METRICS.values() if not isinstance(metric.function, MeanOverClasses)]


def predictions(seed, samples=200):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(3), samples).astype(np.float32)
    label = rng.integers(0, 3, samples).astype(np.int32)
    return jnp.asarray(probability), jnp.asarray(label), jnp.asarray(rng.random(samples) < 0.8)


def sevens(*arrays):
    return jnp.full(arrays[0].shape[1], 7.0)


@pytest.mark.parametrize("metric", COMPUTED, ids=lambda metric: metric.key)
def test_every_metric_can_be_jitted_and_vmapped_and_ignores_padding(metric):
    compute = jax.jit(partial(metric.compute, classes=CLASSES))
    columns = [predictions(seed) for seed in range(3)]
    found = [compute(*one) for one in columns]
    assert found[0].shape == ((3,) if metric.per_class else ())
    assert found[0].dtype == jnp.float32
    stacked = jax.vmap(partial(metric.compute, classes=CLASSES))(*map(jnp.stack, zip(*columns, strict=True)))
    np.testing.assert_allclose(stacked, jnp.stack(found), rtol=1e-5, atol=1e-6)
    probability, label, mask = columns[0]
    junk = jnp.where(mask[:, None], probability, jnp.nan), jnp.where(mask, label, -1), mask
    np.testing.assert_array_equal(compute(*junk), found[0])


@pytest.mark.parametrize("metric", [one for one in METRICS.values() if one.interval], ids=lambda metric: metric.key)
def test_every_interval_resamples_the_metric_itself(metric):
    matrices = np.random.default_rng(0).integers(0, 9, (5, 3, 3))
    expected = map_matrices(metric.function.function, matrices)
    np.testing.assert_allclose(metric.interval(matrices), expected, rtol=1e-6)


def test_the_keys_of_each_section_keep_their_order():
    scalars = (
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "macro_f1_nsv",
        "auroc_macro",
        "auprc_macro",
        "ece",
        "brier",
    )
    assert tuple(metric.key for metric in METRICS.select(per_class=False)) == scalars
    assert [metric.key for metric in METRICS.select(per_class=True)] == ["recall", "precision", "f1", "specificity"]
    assert [metric.key for metric in METRICS.select("safety")][:3] == ["mcc", "kappa", "nll"]


def test_a_registered_metric_is_computed_and_written_after_the_others():
    registry = MetricRegistry(METRICS.values())
    registry.register(Metric("sevens", "sevens", sevens, per_class=True))
    assert list(registry)[-1] == "sevens"
    assert "sevens" not in METRICS


def test_metrics_of_another_task_are_left_out():
    registry = MetricRegistry([Metric("hazard", "hazard", ece, task="survival"), Metric("ece", "ECE", ece)])
    assert [metric.key for metric in registry.select()] == ["ece"]
    assert [metric.key for metric in registry.select(task="survival")] == ["hazard"]


def test_a_metric_that_reads_classes_by_name_is_undefined_without_them():
    columns = predictions(0)
    first_class = FromConfusion(lambda matrix, classes: recall(matrix)[classes.index("S")], ("S",))
    metric = Metric("recall_s", "recall of S", first_class)
    assert np.isnan(metric.compute(*columns))
    assert metric.compute(*columns, classes=CLASSES) == METRICS["recall"].compute(*columns)[1]


def test_the_mean_over_classes_is_written_from_the_written_numbers():
    columns = predictions(1)
    written = to_summary(compute_metrics(*columns, CLASSES), CLASSES)
    assert written["macro_f1_nsv"] == sum(written["per_class"][name]["f1"] for name in CLASSES) / 3


def test_unregistered_keys_of_a_summary_are_named_in_one_line():
    measured = to_summary(compute_metrics(*predictions(2)), CLASSES)
    METRICS.check_registered(measured)
    measured["mine"] = 0.5
    measured["per_class"]["S"]["own"] = 1.0
    with pytest.raises(BoflError) as error:
        METRICS.check_registered(measured)
    assert str(error.value) == (
        "summary.json holds metrics that are not registered (mine, own): import the file that registers them with "
        "--import FILE"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Metric("my metric", "x", ece), "cannot have the key 'my metric': choose an identifier"),
        (lambda: Metric("support", "x", ece), "cannot have the key 'support'"),
        (lambda: Metric("x", "x", ece, shown=frozenset({Place.BARS})), "x has no bars by class"),
        (lambda: METRICS.register(Metric("ece", "x", ece)), "ece is registered already"),
        (
            lambda: METRICS.register(Metric("x", "x", sevens)),
            r"shape \(2,\) for 2 classes: return one number, or",
        ),
        (lambda: METRICS.register(Metric("x", "x", ece, per_class=True)), "return one number for each class"),
        (lambda: METRICS.register(Metric("x", "x", FromConfusion(mcc), per_class=True)), r"returns shape \(\)"),
        (lambda: METRICS.register(Metric("x", "x", lambda *_: {"one": 1.0})), "returns shape None"),
        (lambda: METRICS["macro_f1_nsv"].compute(*predictions(0)), "is a mean of f1: compute that metric"),
    ],
)
def test_invalid_metrics_are_rejected_with_the_way_to_fix_them(make, message):
    with pytest.raises(BoflError, match=message):
        make()
    assert "x" not in METRICS


def test_a_metric_of_the_confusion_matrix_takes_predictions_too():
    columns = predictions(3)
    alone = Metric("one", "one", FromConfusion(accuracy)).compute(*columns)
    assert alone == compute_metrics(*columns)["accuracy"]
