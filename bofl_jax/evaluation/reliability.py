"""Whether a run's predictions can be relied on: agreement, calibration, selection, prediction sets.

All but the last three numbers follow from the test predictions alone. Temperature and prediction sets need labelled
samples that the model has not seen: the first minutes of held-out patients (``partition.adapt_minutes``), for the
shared model. Personal models were adapted on these, and a population without held-out patients has none.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.padding import bucket_size, pad_to
from bofl_jax.metrics import (
    Murphy,
    apply_temperature,
    aurc,
    classwise_ece,
    conformal_threshold,
    confusion,
    coverage_at_risk,
    covered,
    ece,
    fit_temperature,
    j_index,
    jk_index,
    kappa,
    lac_scores,
    mcc,
    murphy,
    nll,
    prediction_sets,
    recall_at_specificity,
)
from bofl_jax.metrics.report import plain
from bofl_jax.partition import ClientIndices, Population, pack

OF_CLASSES = {"classwise_ece": "classwise_ece", "recall_at_specificity": "recall_at_specificity_95"}
"""Field -> its key in the summary, for numbers by class."""
CALIBRATED = ("temperature", "ece_scaled", "conformal_coverage", "conformal_size")
"""Keys that do not follow from the test predictions."""


class Seen(NamedTuple):
    """Predictions of labelled samples, and which are padding."""

    probability: Any  # float32[N, K]
    label: Any  # int32[N]
    mask: Any  # bool[N]


class Safety(NamedTuple):
    """What follows from the test predictions; NaN where a number is undefined."""

    mcc: jax.Array  # float32[]
    kappa: jax.Array  # float32[]
    nll: jax.Array  # float32[], nats
    j_index: jax.Array  # float32[]; NaN without classes S and V
    jk_index: jax.Array  # float32[]; NaN without classes S and V
    aurc: jax.Array  # float32[]
    coverage_at_risk: jax.Array  # float32[], at a risk of 1 %
    classwise_ece: jax.Array  # float32[K]
    recall_at_specificity: jax.Array  # float32[K], at a specificity of 95 % on the same samples
    parts: Murphy  # float32[K] each


class Calibrated(NamedTuple):
    """What the shared model is worth once it was calibrated on other samples."""

    temperature: jax.Array  # float32[]
    ece_scaled: jax.Array  # float32[], of the test predictions at that temperature
    conformal_coverage: jax.Array  # float32[], of sets that should miss 1 in 10
    conformal_size: jax.Array  # float32[], classes in a set


@functools.partial(jax.jit, static_argnames="classes")
def measure_safety(test: Seen, classes: tuple[str, ...]) -> Safety:
    """Measure one set of predictions.

    Args:
        test: predictions.
        classes: the K class names.
    """
    matrix = confusion(*test)
    beats = {"S", "V"} <= set(classes)
    return Safety(
        mcc=mcc(matrix),
        kappa=kappa(matrix),
        nll=nll(*test),
        j_index=j_index(matrix, classes) if beats else jnp.float32(jnp.nan),
        jk_index=jk_index(matrix, classes) if beats else jnp.float32(jnp.nan),
        aurc=aurc(*test),
        coverage_at_risk=coverage_at_risk(*test),
        classwise_ece=classwise_ece(*test),
        recall_at_specificity=recall_at_specificity(*test),
        parts=murphy(*test),
    )


@jax.jit
def calibrate(known: Seen, test: Seen) -> Calibrated:
    """Calibrate on some predictions, judge on others.

    Args:
        known: predictions of samples that the model has not seen.
        test: predictions of other samples.
    """
    temperature = fit_temperature(*known)
    threshold = conformal_threshold(lac_scores(known.probability), known.label, known.mask)
    sets = covered(prediction_sets(lac_scores(test.probability), threshold), test.label, test.mask)
    scaled = apply_temperature(test.probability, temperature)
    return Calibrated(temperature, ece(scaled, test.label, test.mask), sets.coverage, sets.size)


def safety_of(
    probability: np.ndarray,
    label: np.ndarray,
    classes: Sequence[str],
    known: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """One model's part of ``safety`` in ``summary.json``; None where a number is undefined.

    ``brier_parts`` are sums over the classes: ``reliability - resolution + uncertainty + within_bin`` is ``brier``.

    Args:
        probability: float32[N, K].
        label: int32[N].
        classes: the K class names.
        known: float32[M, K] and int32[M] of samples to calibrate on; None where there are none.

    >>> found = safety_of(np.array([[0.9, 0.1], [0.4, 0.6]], np.float32), np.array([0, 1], np.int32), ("N", "V"))
    >>> found["mcc"], found["j_index"], found["temperature"]
    (1.0, None, None)
    """
    test = _padded(probability, label)
    measured = jax.device_get(measure_safety(test, tuple(classes)))
    found: dict[str, Any] = {}
    for field, value in measured._asdict().items():
        if field in OF_CLASSES:
            found[OF_CLASSES[field]] = dict(zip(classes, map(plain, value), strict=True))
        elif field != "parts":
            found[field] = plain(value)
    found["coverage_at_risk_1"] = found.pop("coverage_at_risk")
    found["brier_parts"] = {name: plain(part.sum()) for name, part in measured.parts._asdict().items()}
    calibrated = jax.device_get(calibrate(_padded(*known), test)) if known else (np.nan,) * len(CALIBRATED)
    return found | dict(zip(CALIBRATED, map(plain, calibrated), strict=True))


def unseen(population: Population) -> ClientIndices:
    """The labelled samples that a shared model was not trained on: what held-out patients adapt on, client by client.

    >>> none, some = np.arange(0), np.arange(2)
    >>> population = Population(("a", "b"), pack([some, none]), pack([none, some + 4]), pack([some, some + 2]))
    >>> unseen(population).flat()[0].tolist()
    [2, 3]
    """
    trains, clients = population.train.size > 0, range(population.clients)
    return pack([population.adapt.of(client)[: 0 if trains[client] else None] for client in clients])


def differing(stated: Mapping[str, Any], probability: np.ndarray, label: np.ndarray, classes: Sequence[str]) -> str:
    """The first number that does not follow from the test predictions, to rounding on another machine; "" for none.

    Args:
        stated: what the summary says of a model.
        probability: float32[N, K].
        label: int32[N].
        classes: the K class names.
    """
    true = safety_of(probability, label, classes)
    if set(stated) != set(true):
        return "a key"
    for name in set(true) - set(CALIBRATED):
        said, found = stated[name], true[name]
        pairs = [(said, found)] if not isinstance(found, dict) else [(said.get(part), found[part]) for part in found]
        if (isinstance(found, dict) and set(said) != set(found)) or not all(_close(*pair) for pair in pairs):
            return name
    return ""


def _close(said: Any, found: float | None) -> bool:
    if said is None or found is None:
        return said is found
    return bool(abs(said - found) <= 1e-5 * max(1.0, abs(found)))


def _padded(probability: np.ndarray, label: np.ndarray) -> Seen:
    """The same with zeros added: runs that hardly differ in their number of samples share what is compiled."""
    size = bucket_size(len(label))
    return Seen(pad_to(probability, size), pad_to(label, size), np.arange(size) < len(label))
