"""All registered metrics of one set of predictions, as arrays in JAX and as a section of ``summary.json``."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.builtin import METRICS
from bofl_jax.metrics.discrimination import confusion
from bofl_jax.metrics.registry import FromConfusion, MeanOverClasses, Metric, Section


def compute_metrics(
    probability: jax.Array,
    label: jax.Array,
    mask: jax.Array,
    classes: tuple[str, ...] = (),
    section: Section = "test",
) -> dict[str, jax.Array]:
    """Measure one set of predictions by all metrics of a section, in one compiled program; vmap for many.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N], False for padding.
        classes: the K class names, static; metrics that read classes by name are NaN without them.
        section: of ``summary.json``.

    Returns:
        Key -> float32[] or float32[K] of every metric, NaN where it is undefined, ``confusion`` int32[K, K] (rows: true
        class) and ``support`` int32[K], the samples of each class.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> float(compute_metrics(p, jnp.array([0, 0, 1]), jnp.ones(3, bool))["macro_f1"])
    1.0
    """
    entries = tuple(metric for metric in METRICS.select(section) if not isinstance(metric.function, MeanOverClasses))
    named = any(isinstance(metric.function, FromConfusion) and metric.function.classes for metric in entries)
    measured: dict[str, jax.Array] = _compiled_metrics(probability, label, mask, entries, classes if named else ())
    return measured


def measure(
    probability: jax.Array, label: jax.Array, mask: jax.Array, entries: Sequence[Metric], classes: tuple[str, ...]
) -> dict[str, jax.Array]:
    """Measure one set of predictions by some metrics; not compiled by itself.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
        entries: metrics, none of them a `MeanOverClasses`.
        classes: the K class names, or none.

    Returns:
        As `compute_metrics`.
    """
    matrix = confusion(probability, label, mask)
    found = {"confusion": matrix, "support": jnp.sum(matrix, axis=1)}
    for metric in entries:
        found[metric.key] = metric.compute(probability, label, mask, matrix, classes)
    return found


_compiled_metrics = jax.jit(measure, static_argnames=("entries", "classes"))


def to_summary(measured: Mapping[str, jax.Array], classes: Sequence[str]) -> dict[str, Any]:
    """Write metrics as a model's part of ``test`` in ``summary.json``: plain numbers, ``None`` where undefined.

    Args:
        measured: from `compute_metrics`, of one set of predictions (no leading axis).
        classes: the K class names.

    Returns:
        Key -> number of the scalar metrics, and ``per_class``: class -> key -> number, with its ``support``.

    Raises:
        BoflError: when the number of names is not K.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4]])
    >>> written = to_summary(compute_metrics(p, jnp.array([0, 0]), jnp.ones(2, bool)), ("N", "V"))
    >>> written["accuracy"], written["macro_f1_nsv"], written["per_class"]["V"]["recall"]
    (1.0, None, None)
    """
    if measured["support"].shape != (len(classes),):
        raise BoflError(f"metrics have shape {measured['support'].shape}, but there are {len(classes)} class names")
    values = jax.device_get(measured)
    per_class = {name: _class_row(values, index) for index, name in enumerate(classes)}
    scalars = {metric.key: _scalar(metric, values, per_class) for metric in METRICS.select(per_class=False)}
    return {**scalars, "per_class": per_class}


def json_number(value: Any) -> float | None:
    """A number as JSON can hold it: a Python float, or ``None`` where it is not finite.

    >>> json_number(jnp.float32(0.5)), json_number(jnp.nan)
    (0.5, None)
    """
    value = float(value)
    return value if math.isfinite(value) else None


def _class_row(values: Mapping[str, Any], index: int) -> dict[str, float | int | None]:
    row: dict[str, float | int | None] = {
        metric.key: json_number(values[metric.key][index]) for metric in METRICS.select(per_class=True)
    }
    return {**row, "support": int(values["support"][index])}


def _scalar(metric: Metric, values: Mapping[str, Any], per_class: Mapping[str, dict[str, Any]]) -> float | None:
    if isinstance(metric.function, MeanOverClasses):
        return metric.function.of_summary(per_class)
    return json_number(values[metric.key])
