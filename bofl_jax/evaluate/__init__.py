"""Numbers that say how good a set of predictions is: discrimination, calibration, fairness over clients.

Everything is a pure function of ONE set of predictions, written to be jitted and vmapped:

- probability: float32[N, K], the predicted class probabilities;
- label: int32[N], the true class, ``0 <= label < K`` where ``mask`` holds;
- mask: bool[N], False for padding, which never influences a result whatever it holds (NaN included).

A number that is not defined (recall of a class without samples) is NaN inside JAX and ``None`` once ``as_dict`` has
written it out. Counts are integers, and every long float sum is pairwise, so the results agree with a float64 oracle to
about 1e-6.
"""

from bofl_jax.evaluate.calibration import brier, ece
from bofl_jax.evaluate.clients import ClientMetrics, Unseen, client_metrics, confusions, unseen_class_recall
from bofl_jax.evaluate.discrimination import (
    ClassCounts,
    accuracy,
    auprc,
    auroc,
    balanced_accuracy,
    class_counts,
    confusion,
    f1,
    macro_f1,
    precision,
    recall,
    specificity,
)
from bofl_jax.evaluate.fairness import Fairness, fairness
from bofl_jax.evaluate.report import Metrics, as_dict, metrics

__all__ = [
    "ClassCounts",
    "ClientMetrics",
    "Fairness",
    "Metrics",
    "Unseen",
    "accuracy",
    "as_dict",
    "auprc",
    "auroc",
    "balanced_accuracy",
    "brier",
    "class_counts",
    "client_metrics",
    "confusion",
    "confusions",
    "ece",
    "f1",
    "fairness",
    "macro_f1",
    "metrics",
    "precision",
    "recall",
    "specificity",
    "unseen_class_recall",
]
