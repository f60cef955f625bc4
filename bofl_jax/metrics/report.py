"""All metrics of one set of predictions, as arrays inside JAX and as the dictionary of the result files."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import calibration, discrimination

NSV = ("N", "S", "V")
"""The AAMI classes over which ``macro_f1_nsv`` averages: those with enough beats to be compared."""

_SCALARS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro", "auprc_macro", "ece", "brier")
_PER_CLASS = ("recall", "precision", "f1", "specificity")


class Metrics(NamedTuple):
    """Everything that is measured on one set of predictions; NaN where a number is undefined."""

    confusion: jax.Array  # int32[K, K], true class by predicted class
    support: jax.Array  # int32[K], samples of each class
    recall: jax.Array  # float32[K]
    precision: jax.Array  # float32[K]
    f1: jax.Array  # float32[K]
    specificity: jax.Array  # float32[K]
    auroc: jax.Array  # float32[K], one versus rest
    auprc: jax.Array  # float32[K], one versus rest
    accuracy: jax.Array  # float32[]
    balanced_accuracy: jax.Array  # float32[], mean recall of the classes with samples
    macro_f1: jax.Array  # float32[], mean F1 of the classes with samples
    auroc_macro: jax.Array  # float32[], mean over the classes with a positive and a negative
    auprc_macro: jax.Array  # float32[], mean over the classes with a positive and a negative
    ece: jax.Array  # float32[]
    brier: jax.Array  # float32[]


@jax.jit
def metrics(probability: jax.Array, label: jax.Array, mask: jax.Array) -> Metrics:
    """Measure one set of predictions; vmap for many.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N], False for padding.

    Returns:
        Metrics of the samples where ``mask`` holds.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> float(metrics(p, jnp.array([0, 0, 1]), jnp.ones(3, bool)).macro_f1)
    1.0
    """
    matrix = discrimination.confusion(probability, label, mask)
    auroc = discrimination.auroc(probability, label, mask)
    auprc = discrimination.auprc(probability, label, mask)
    return Metrics(
        confusion=matrix,
        support=jnp.sum(matrix, axis=1),
        recall=discrimination.recall(matrix),
        precision=discrimination.precision(matrix),
        f1=discrimination.f1(matrix),
        specificity=discrimination.specificity(matrix),
        auroc=auroc,
        auprc=auprc,
        accuracy=discrimination.accuracy(matrix),
        balanced_accuracy=discrimination.balanced_accuracy(matrix),
        macro_f1=discrimination.macro_f1(matrix),
        auroc_macro=jnp.nanmean(auroc),
        auprc_macro=jnp.nanmean(auprc),
        ece=calibration.ece(probability, label, mask),
        brier=calibration.brier(probability, label, mask),
    )


def as_dict(measured: Metrics, classes: Sequence[str]) -> dict[str, Any]:
    """Write metrics as the dictionary M of ``summary.json``: plain floats and integers, ``None`` where undefined.

    ``macro_f1_nsv`` is the mean F1 of classes N, S and V: ``None`` when ``classes`` lacks one of the three; one that
    has no samples is left out of the mean.

    Args:
        measured: metrics of one set of predictions (no leading axis).
        classes: the K class names.

    Raises:
        BoflError: when the number of names is not K.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4]])
    >>> written = as_dict(metrics(p, jnp.array([0, 0]), jnp.ones(2, bool)), ("N", "V"))
    >>> written["accuracy"], written["macro_f1_nsv"], written["per_class"]["V"]["recall"]
    (1.0, None, None)
    """
    if measured.support.shape != (len(classes),):
        raise BoflError(f"metrics have shape {measured.support.shape}, but there are {len(classes)} class names")
    measured = jax.device_get(measured)
    per_class = {name: _class_dict(measured, index) for index, name in enumerate(classes)}
    scalars = {name: plain(getattr(measured, name)) for name in _SCALARS}
    ordered = {name: scalars[name] for name in _SCALARS[:3]}
    ordered["macro_f1_nsv"] = _macro_f1_nsv(per_class)
    return {**ordered, **scalars, "per_class": per_class}


def plain(value: Any) -> float | None:
    """A number as JSON can hold it: a Python float, or ``None`` where it is not finite.

    >>> plain(jnp.float32(0.5)), plain(jnp.nan)
    (0.5, None)
    """
    value = float(value)
    return value if math.isfinite(value) else None


def _class_dict(measured: Metrics, index: int) -> dict[str, float | int | None]:
    row: dict[str, float | int | None] = {name: plain(getattr(measured, name)[index]) for name in _PER_CLASS}
    return {**row, "support": int(measured.support[index])}


def _macro_f1_nsv(per_class: dict[str, dict[str, Any]]) -> float | None:
    if not set(NSV) <= set(per_class):
        return None
    defined = [per_class[name]["f1"] for name in NSV if per_class[name]["f1"] is not None]
    return sum(defined) / len(defined) if defined else None
