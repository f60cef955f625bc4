"""Metrics of one set of predictions: discrimination, calibration, selective prediction, fairness, statistics.

Every function of predictions is pure and can be jitted and vmapped. Its arguments are

- probability: float32[N, K], the predicted class probabilities;
- label: int32[N], the true class, ``0 <= label < K`` where ``mask`` holds;
- mask: bool[N], False for padding, which never influences a result, whatever it holds (NaN included).

An undefined number (recall of a class without samples) is NaN in JAX and ``None`` in ``summary.json``. Counts are
integers, and every long float sum is pairwise, so that results agree with a float64 oracle to about 1e-6.

The samples of all clients form one pool with their client int32[N]. To measure each client on its own, vmap over masks:

    jax.vmap(lambda c: aurc(probability, label, mask & (client == c)))(jnp.arange(clients))

``METRICS`` is the registry of the metrics that a run writes and shows. ``resampling`` and ``statistics`` are NumPy and
float64: intervals and tests over people and seeds.
"""

from bofl_jax.metrics.builtin import METRICS, NSV
from bofl_jax.metrics.calibration import (
    MurphyDecomposition,
    ReliabilityDiagram,
    brier,
    classwise_ece,
    classwise_reliability_diagram,
    ece,
    murphy_decomposition,
    nll,
    reliability_diagram,
)
from bofl_jax.metrics.clients import (
    ClientMetrics,
    UnseenClassRecall,
    client_metrics,
    group_confusions,
    unseen_class_recall,
)
from bofl_jax.metrics.conformal import (
    SetCoverage,
    aps_scores,
    class_thresholds,
    client_thresholds,
    conformal_threshold,
    lac_scores,
    prediction_sets,
    set_coverage,
)
from bofl_jax.metrics.diagrams import ReliabilityPoints, RiskCoveragePoints, reliability_points, risk_coverage_points
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
from bofl_jax.metrics.protocols import MatrixMetric, NamedMatrixMetric, PredictionMetric, ResampledMetric
from bofl_jax.metrics.registry import FromConfusion, MeanOverClasses, Metric, MetricRegistry, Place
from bofl_jax.metrics.report import compute_metrics, to_summary
from bofl_jax.metrics.resampling import (
    Interval,
    Statistic,
    clustered_bootstrap,
    map_matrices,
    paired_permutation,
    resampled_metric,
)
from bofl_jax.metrics.scores import (
    kappa,
    mcc,
    recall_at_specificity,
    recall_at_threshold,
    specificity_at_threshold,
    threshold_at_specificity,
)
from bofl_jax.metrics.selective import RiskCoverage, aurc, coverage_at_risk, risk_coverage
from bofl_jax.metrics.statistics import Equivalence, SeedMean, cliffs_delta, holm, mean_over_seeds, tost, wilcoxon
from bofl_jax.metrics.temperature import apply_temperature, fit_temperature

__all__ = [
    "METRICS",
    "NSV",
    "ClassCounts",
    "ClientMetrics",
    "Equivalence",
    "Fairness",
    "FromConfusion",
    "Interval",
    "MatrixMetric",
    "MeanOverClasses",
    "Metric",
    "MetricRegistry",
    "MurphyDecomposition",
    "NamedMatrixMetric",
    "Place",
    "PredictionMetric",
    "ReliabilityDiagram",
    "ReliabilityPoints",
    "ResampledMetric",
    "RiskCoverage",
    "RiskCoveragePoints",
    "SeedMean",
    "SetCoverage",
    "Statistic",
    "UnseenClassRecall",
    "accuracy",
    "apply_temperature",
    "aps_scores",
    "auprc",
    "aurc",
    "auroc",
    "balanced_accuracy",
    "brier",
    "class_counts",
    "class_thresholds",
    "classwise_ece",
    "classwise_reliability_diagram",
    "client_metrics",
    "client_thresholds",
    "cliffs_delta",
    "clustered_bootstrap",
    "compute_metrics",
    "conformal_threshold",
    "confusion",
    "coverage_at_risk",
    "ece",
    "equal_opportunity_gap",
    "f1",
    "fairness",
    "fit_temperature",
    "group_confusions",
    "holm",
    "j_index",
    "jk_index",
    "kappa",
    "lac_scores",
    "macro_f1",
    "map_matrices",
    "mcc",
    "mean_over_seeds",
    "murphy_decomposition",
    "nll",
    "paired_permutation",
    "precision",
    "prediction_sets",
    "recall",
    "recall_at_specificity",
    "recall_at_threshold",
    "reliability_diagram",
    "reliability_points",
    "resampled_metric",
    "risk_coverage",
    "risk_coverage_points",
    "set_coverage",
    "specificity",
    "specificity_at_threshold",
    "threshold_at_specificity",
    "to_summary",
    "tost",
    "unseen_class_recall",
    "ventricular_precision",
    "wilcoxon",
]
