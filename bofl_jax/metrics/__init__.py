"""Numbers that say how good a set of predictions is: discrimination, calibration, selection, fairness, statistics.

Everything is a pure function of ONE set of predictions, written to be jitted and vmapped:

- probability: float32[N, K], the predicted class probabilities;
- label: int32[N], the true class, ``0 <= label < K`` where ``mask`` holds;
- mask: bool[N], False for padding, which never influences a result whatever it holds (NaN included).

A number that is not defined (recall of a class without samples) is NaN inside JAX and ``None`` once ``as_dict`` has
written it out. Counts are integers, and every long float sum is pairwise, so the results agree with a float64 oracle to
about 1e-6.

The samples of all clients stand in one pool with their client int32[N]. To measure every client on its own, vmap over
masks:

    jax.vmap(lambda c: aurc(probability, label, mask & (client == c)))(jnp.arange(clients))

``statistics`` alone is NumPy and float64: intervals and tests over people and seeds, of numbers that are made already.
"""

from bofl_jax.metrics.calibration import (
    Murphy,
    Reliability,
    apply_temperature,
    brier,
    classwise_ece,
    classwise_reliability,
    ece,
    fit_temperature,
    murphy,
    nll,
    reliability,
)
from bofl_jax.metrics.clients import ClientMetrics, Unseen, client_metrics, confusions, unseen_class_recall
from bofl_jax.metrics.conformal import (
    Coverage,
    aps_scores,
    class_thresholds,
    client_thresholds,
    conformal_threshold,
    covered,
    lac_scores,
    prediction_sets,
)
from bofl_jax.metrics.discrimination import (
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
from bofl_jax.metrics.ec57 import j_index, jk_index, ventricular_precision
from bofl_jax.metrics.fairness import Fairness, equal_opportunity_gap, fairness
from bofl_jax.metrics.report import Metrics, as_dict, metrics
from bofl_jax.metrics.scores import (
    kappa,
    mcc,
    recall_at_specificity,
    recall_at_threshold,
    specificity_at_threshold,
    threshold_at_specificity,
)
from bofl_jax.metrics.selective import RiskCoverage, aurc, coverage_at_risk, risk_coverage
from bofl_jax.metrics.statistics import (
    Equivalence,
    Interval,
    cliffs_delta,
    clustered_bootstrap,
    holm,
    of_matrices,
    over_people,
    paired_permutation,
    tost,
    wilcoxon,
)

__all__ = [
    "ClassCounts",
    "ClientMetrics",
    "Coverage",
    "Equivalence",
    "Fairness",
    "Interval",
    "Metrics",
    "Murphy",
    "Reliability",
    "RiskCoverage",
    "Unseen",
    "accuracy",
    "apply_temperature",
    "aps_scores",
    "as_dict",
    "auprc",
    "aurc",
    "auroc",
    "balanced_accuracy",
    "brier",
    "class_counts",
    "class_thresholds",
    "classwise_ece",
    "classwise_reliability",
    "client_metrics",
    "client_thresholds",
    "cliffs_delta",
    "clustered_bootstrap",
    "conformal_threshold",
    "confusion",
    "confusions",
    "coverage_at_risk",
    "covered",
    "ece",
    "equal_opportunity_gap",
    "f1",
    "fairness",
    "fit_temperature",
    "holm",
    "j_index",
    "jk_index",
    "kappa",
    "lac_scores",
    "macro_f1",
    "mcc",
    "metrics",
    "murphy",
    "nll",
    "of_matrices",
    "over_people",
    "paired_permutation",
    "precision",
    "prediction_sets",
    "recall",
    "recall_at_specificity",
    "recall_at_threshold",
    "reliability",
    "risk_coverage",
    "specificity",
    "specificity_at_threshold",
    "threshold_at_specificity",
    "tost",
    "unseen_class_recall",
    "ventricular_precision",
    "wilcoxon",
]
