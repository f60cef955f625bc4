"""The metrics of the package, in the order in which ``summary.json`` holds them."""

import jax
import jax.numpy as jnp

from bofl_jax.metrics import discrimination
from bofl_jax.metrics.calibration import brier, classwise_ece, ece, nll
from bofl_jax.metrics.ec57 import j_index, jk_index
from bofl_jax.metrics.registry import FromConfusion, MeanOverClasses, Metric, MetricRegistry, Place
from bofl_jax.metrics.scores import kappa, mcc, recall_at_specificity
from bofl_jax.metrics.selective import aurc, coverage_at_risk

NSV = ("N", "S", "V")
"""AAMI classes with enough beats to be compared; ``macro_f1_nsv`` is their mean F1."""

_RUN = frozenset({Place.CONSOLE, Place.TABLES})
_HEADLINE = _RUN | {Place.PAGE, Place.SWEEP_TABLE, Place.SWEEP_PAGE}
_BARS = _RUN | {Place.BARS, Place.PAGE, Place.SWEEP_TABLE}
_NOWHERE: frozenset[Place] = frozenset()


def auroc_macro(probability: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean AUROC over the classes that have a positive and a negative sample: float32[].

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
    """
    return jnp.nanmean(discrimination.auroc(probability, label, mask))


def auprc_macro(probability: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean average precision over the classes that have a positive and a negative sample: float32[].

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N].
    """
    return jnp.nanmean(discrimination.auprc(probability, label, mask))


_TEST = (
    Metric(
        "accuracy",
        "accuracy",
        FromConfusion(discrimination.accuracy),
        interval=discrimination.accuracy,
        shown=_HEADLINE,
    ),
    Metric(
        "balanced_accuracy",
        "balanced accuracy",
        FromConfusion(discrimination.balanced_accuracy),
        interval=discrimination.balanced_accuracy,
        shown=_RUN,
    ),
    Metric(
        "macro_f1",
        "macro-F1",
        FromConfusion(discrimination.macro_f1),
        interval=discrimination.macro_f1,
        shown=_HEADLINE,
    ),
    Metric("macro_f1_nsv", "macro-F1 of N, S, V", MeanOverClasses("f1", NSV), shown=_RUN),
    Metric(
        "recall",
        "recall",
        FromConfusion(discrimination.recall),
        per_class=True,
        interval=discrimination.recall,
        shown=_BARS,
    ),
    Metric(
        "precision",
        "precision",
        FromConfusion(discrimination.precision),
        per_class=True,
        interval=discrimination.precision,
        shown=_BARS,
    ),
    Metric(
        "f1",
        "F1",
        FromConfusion(discrimination.f1),
        per_class=True,
        interval=discrimination.f1,
        shown=_RUN | {Place.PAGE},
    ),
    Metric(
        "specificity",
        "specificity",
        FromConfusion(discrimination.specificity),
        per_class=True,
        shown=frozenset({Place.TABLES, Place.PAGE}),
    ),
    Metric("auroc_macro", "AUROC, macro", auroc_macro, shown=_RUN),
    Metric("auprc_macro", "AUPRC, macro", auprc_macro, shown=_RUN),
    Metric(
        "ece",
        "ECE",
        ece,
        better="lower",
        shown=_HEADLINE - {Place.SWEEP_PAGE},
        long_title="calibration error (ECE)",
    ),
    Metric("brier", "Brier score", brier, better="lower", shown=_RUN),
)

_SAFETY = (
    Metric("mcc", "MCC", FromConfusion(mcc), section="safety", shown=_NOWHERE),
    Metric("kappa", "Cohen's kappa", FromConfusion(kappa), section="safety", shown=_NOWHERE),
    Metric("nll", "NLL (nats)", nll, better="lower", section="safety", shown=_NOWHERE),
    Metric("j_index", "j index", FromConfusion(j_index, ("S", "V")), section="safety", shown=_NOWHERE),
    Metric("jk_index", "jk index", FromConfusion(jk_index, ("S", "V")), section="safety", shown=_NOWHERE),
    Metric("aurc", "AURC", aurc, better="lower", section="safety", shown=_NOWHERE),
    Metric(
        "classwise_ece",
        "classwise ECE",
        classwise_ece,
        per_class=True,
        better="lower",
        section="safety",
        shown=_NOWHERE,
    ),
    Metric(
        "recall_at_specificity_95",
        "recall at specificity .95",
        recall_at_specificity,
        per_class=True,
        section="safety",
        shown=_NOWHERE,
    ),
    Metric("coverage_at_risk_1", "coverage at 1 % risk", coverage_at_risk, section="safety", shown=_NOWHERE),
)

METRICS = MetricRegistry((*_TEST, *_SAFETY))
"""All metrics of test predictions, those of users included once they are registered."""
