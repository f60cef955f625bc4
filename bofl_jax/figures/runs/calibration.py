"""Calibration and selective prediction: the reliability diagram, and risk against coverage."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import sample_sizes
from bofl_jax.metrics import ReliabilityPoints, RiskCoveragePoints, reliability_points, risk_coverage_points
from bofl_jax.metrics.calibration import BINS
from bofl_jax.results import RunResults

MAX_POINTS = 500
"""Largest number of points of a drawn curve."""
Bins = Mapping[str, ReliabilityPoints]
Risks = Mapping[str, RiskCoveragePoints]
"""By model."""


def calibration(run: RunResults) -> Drawing | Unavailable:
    """Draw reliability on the left, with a line at perfect calibration, and selective risk on the right."""
    label, models = run.predictions.label, run.predictions.models
    if not models or not len(label):
        return Unavailable("no model has probabilities")
    bins = {model: reliability_points(probability, label) for model, probability in models.items()}
    risks = {model: risk_coverage_points(probability, label) for model, probability in models.items()}
    numbers = "; ".join(
        f"{model}: ECE {_calibration_error(bins[model]):.4f}, AURC {risks[model].area:.4f}" for model in models
    )
    caption = (
        f"Left: accuracy against mean confidence (largest probability) of the test samples in {BINS} bins of equal "
        "mass; the grey line is perfect calibration. Right: share of errors (risk) among the most confident samples "
        f"against the share that is kept (coverage). {numbers}. {sample_sizes(run)} There are no intervals."
    )
    return Drawing(_draw(bins, risks), caption, _rows(bins, risks))


def _calibration_error(bins: ReliabilityPoints) -> float:
    return float(np.sum(bins.samples * abs(bins.accuracy - bins.confidence)) / np.sum(bins.samples))


def _draw(bins: Bins, risks: Risks) -> Figure:
    figure, ((left, right),) = style.panel_grid(1, 2, style.PAGE_WIDTH, 2.7)
    left.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, zorder=1)
    for model, points in bins.items():
        series = style.MODELS[model]
        line: dict[str, Any] = {"color": series.color, "linestyle": series.linestyle}
        left.plot(points.confidence, points.accuracy, marker=series.marker, label=series.label, **line)
        right.plot(_thinned(risks[model].coverage), _thinned(risks[model].risk), **line)
    low = min(min(points.confidence.min(), points.accuracy.min()) for points in bins.values())
    _make_square(left, max(0.0, float(np.floor(10 * low - 0.2)) / 10))
    left.set(xlabel="mean confidence of the bin", ylabel="accuracy of the bin")
    right.set(xlabel="coverage, most confident first", ylabel="risk (share of errors)", xlim=(0, 1.01))
    right.set_ylim(bottom=0)
    style.unique_legend(figure, [left])
    return figure


def _make_square(axis: Axes, low: float) -> None:
    margin = 0.02 * (1 - low)
    axis.set(xlim=(low - margin, 1 + margin), ylim=(low - margin, 1 + margin))
    axis.set_aspect("equal")


def _thinned(values: np.ndarray) -> np.ndarray:
    chosen = np.unique(np.linspace(0, len(values) - 1, MAX_POINTS).round().astype(int))
    return np.asarray(values[chosen])


def _rows(bins: Bins, risks: Risks) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for model, points in bins.items():
        for confidence, accuracy, count in zip(*points, strict=True):
            row = {"confidence": confidence, "accuracy": accuracy, "samples": int(count)}
            rows.append({"model": model, "panel": "reliability", **row})
        for coverage, risk in zip(_thinned(risks[model].coverage), _thinned(risks[model].risk), strict=True):
            rows.append({"model": model, "panel": "risk-coverage", "coverage": coverage, "risk": risk})
    return rows
