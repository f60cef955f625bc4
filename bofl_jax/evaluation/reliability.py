"""Whether a run's predictions can be relied on: agreement, calibration, selective prediction, prediction sets.

Metrics of section "safety" of the registry follow from the test predictions alone. Temperature and prediction sets need
labelled samples that the model has not seen: the first minutes of held-out patients (``partition.adapt_minutes``), for
the shared model. Personal models were adapted on these minutes, and a population without held-out patients has none.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.padding import bucket_size, pad_to
from bofl_jax.metrics import (
    METRICS,
    Metric,
    MurphyDecomposition,
    apply_temperature,
    conformal_threshold,
    ece,
    fit_temperature,
    lac_scores,
    murphy_decomposition,
    prediction_sets,
    set_coverage,
)
from bofl_jax.metrics.report import json_number, measure
from bofl_jax.partition import ClientIndices, Population, pack

CALIBRATED_KEYS = ("temperature", "ece_scaled", "conformal_coverage", "conformal_size")
"""Keys that do not follow from the test predictions, in the order of `CalibratedScores`."""
TOLERANCE = 1e-5
"""Largest relative difference between machines."""


class LabelledPredictions(NamedTuple):
    """Predictions of N labelled samples, some of which are padding."""

    probability: jax.Array  # float32[N, K]
    label: jax.Array  # int32[N]
    mask: jax.Array  # bool[N], False for padding


class CalibratedScores(NamedTuple):
    """Scores of the shared model after calibration on other samples."""

    temperature: jax.Array  # float32[]
    ece_scaled: jax.Array  # float32[], ECE of the test predictions at that temperature
    conformal_coverage: jax.Array  # float32[], of prediction sets that should miss 1 class in 10
    conformal_size: jax.Array  # float32[], mean number of classes in a set


@functools.partial(jax.jit, static_argnames=("entries", "classes"))
def measure_reliability(
    test: LabelledPredictions, entries: tuple[Metric, ...], classes: tuple[str, ...]
) -> tuple[dict[str, jax.Array], MurphyDecomposition]:
    """Measure one set of predictions in one compiled program.

    Args:
        test: the predictions.
        entries: metrics of the registry.
        classes: the K class names.

    Returns:
        Key -> float32[] or float32[K] of each metric, and the parts of the Brier score.
    """
    return measure(*test, entries, classes), murphy_decomposition(*test)


@jax.jit
def calibrate(reference: LabelledPredictions, test: LabelledPredictions) -> CalibratedScores:
    """Calibrate on some predictions and measure others.

    Args:
        reference: predictions of samples that the model has not seen.
        test: predictions of other samples.
    """
    temperature = fit_temperature(*reference)
    threshold = conformal_threshold(lac_scores(reference.probability), reference.label, reference.mask)
    sets = set_coverage(prediction_sets(lac_scores(test.probability), threshold), test.label, test.mask)
    scaled = apply_temperature(test.probability, temperature)
    return CalibratedScores(temperature, ece(scaled, test.label, test.mask), sets.coverage, sets.size)


def reliability_summary(
    probability: np.ndarray,
    label: np.ndarray,
    classes: Sequence[str],
    reference: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """One model's part of ``safety`` in ``summary.json``; None where a number is undefined.

    ``brier_parts`` are sums over the classes: ``reliability - resolution + uncertainty + within_bin`` is ``brier``.

    Args:
        probability: float32[N, K].
        label: int32[N].
        classes: the K class names.
        reference: float32[M, K] and int32[M] of samples to calibrate on, or None.

    >>> p, y = np.array([[0.9, 0.1], [0.4, 0.6]], np.float32), np.array([0, 1], np.int32)
    >>> found = reliability_summary(p, y, ("N", "V"))
    >>> found["mcc"], found["j_index"], found["temperature"]
    (1.0, None, None)
    """
    test, entries = _padded(probability, label), METRICS.select("safety")
    values, parts = jax.device_get(measure_reliability(test, entries, tuple(classes)))
    found = {metric.key: _number_or_table(metric, values[metric.key], classes) for metric in entries}
    found["brier_parts"] = {name: json_number(part.sum()) for name, part in parts._asdict().items()}
    scores = jax.device_get(calibrate(_padded(*reference), test)) if reference else (np.nan,) * len(CALIBRATED_KEYS)
    return found | dict(zip(CALIBRATED_KEYS, map(json_number, scores), strict=True))


def _number_or_table(metric: Metric, value: np.ndarray, classes: Sequence[str]) -> Any:
    return dict(zip(classes, map(json_number, value), strict=True)) if metric.per_class else json_number(value)


def unseen_samples(population: Population) -> ClientIndices:
    """The labelled samples that a shared model was not trained on, by client: what held-out patients adapt on.

    >>> none, some = np.arange(0), np.arange(2)
    >>> population = Population(("a", "b"), pack([some, none]), pack([none, some + 4]), pack([some, some + 2]))
    >>> unseen_samples(population).flat()[0].tolist()
    [2, 3]
    """
    trains, clients = population.train.size > 0, range(population.clients)
    return pack([population.adapt.of(client)[: 0 if trains[client] else None] for client in clients])


def first_difference(
    stated: Mapping[str, Any], probability: np.ndarray, label: np.ndarray, classes: Sequence[str]
) -> str:
    """Find the first stated number that does not follow from the test predictions, up to rounding.

    Args:
        stated: a model's part of ``safety``.
        probability: float32[N, K].
        label: int32[N].
        classes: the K class names.

    Returns:
        The key of the number; "a key" if the keys differ, "" if everything follows.
    """
    expected = reliability_summary(probability, label, classes)
    if set(stated) != set(expected):
        return "a key"
    keys = (key for key in expected if key not in CALIBRATED_KEYS)
    return next((key for key in keys if not _agrees(stated[key], expected[key])), "")


def _agrees(stated: Any, expected: Any) -> bool:
    if not isinstance(expected, dict):
        return _is_close(stated, expected)
    return set(stated) == set(expected) and all(_is_close(stated[part], expected[part]) for part in expected)


def _is_close(stated: Any, expected: float | None) -> bool:
    if stated is None or expected is None:
        return stated is expected
    return bool(abs(stated - expected) <= TOLERANCE * max(1.0, abs(expected)))


def _padded(probability: np.ndarray, label: np.ndarray) -> LabelledPredictions:
    """Predictions padded with zeros, so that runs of similar sizes share compiled programs."""
    size = bucket_size(len(label))
    columns = (pad_to(probability, size), pad_to(label, size), np.arange(size) < len(label))
    return LabelledPredictions(*map(jnp.asarray, columns))
