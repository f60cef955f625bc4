"""Whether the probabilities can be relied on: reliability diagram and risk against coverage."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.words import sizes
from bofl_jax.results import Run

BINS = 15
POINTS = 500


def calibration(run: Run) -> Drawing | Skip:
    """Reliability on the left, with a line at perfect calibration; selective risk on the right."""
    label, models = run.predictions.label, run.predictions.models
    if not models or not len(label):
        return Skip("no model has probabilities")
    bins = {model: reliability(probability, label) for model, probability in models.items()}
    risks = {model: risk_coverage(probability, label) for model, probability in models.items()}
    areas = {model: area for model, (_, _, area) in risks.items()}
    errors = {model: float(np.sum(n * abs(a - c)) / np.sum(n)) for model, (c, a, n) in bins.items()}
    numbers = "; ".join(f"{model}: ECE {errors[model]:.4f}, AURC {areas[model]:.4f}" for model in models)
    caption = (
        f"Left: accuracy against mean confidence (largest probability) of the test samples in {BINS} bins of equal "
        "mass; the grey line is perfect calibration. Right: share of errors (risk) among the most confident samples "
        f"against the share that is kept (coverage). {numbers}. {sizes(run)} There are no intervals."
    )
    return Drawing(_draw(bins, risks), caption, _rows(bins, risks))


def reliability(probability: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, accuracy and number of samples of each bin that has samples, float64[b] each.

    Bins of equal mass by rank, tied confidences in one bin: those of ``ece`` in summary.json.

    Args:
        probability: float[N, K].
        label: int[N].

    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.
    """
    confidence = probability.max(axis=1).astype(np.float64)
    right = probability.argmax(axis=1) == label
    member = np.searchsorted(np.sort(confidence), confidence) * BINS // len(confidence)
    count = np.bincount(member, minlength=BINS)
    sums = [np.bincount(member, weights=part, minlength=BINS)[count > 0] for part in (confidence, right)]
    count = count[count > 0]
    return sums[0] / count, sums[1] / count, count.astype(np.float64)


def risk_coverage(probability: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Coverage and risk at every distinct confidence, and the area under the curve (mean risk over coverages).

    Geifman & El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017.

    >>> p = np.array([[0.9, 0.1], [0.6, 0.4]])
    >>> [part.tolist() for part in risk_coverage(p, np.array([0, 1]))[:2]]
    [[0.5, 1.0], [0.0, 0.5]]
    """
    confidence = probability.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    wrong = (probability.argmax(axis=1) != label)[order]
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))  # of each group of tied samples
    count = np.arange(1, len(wrong) + 1)
    risk = (np.cumsum(wrong) / count)[last]
    taken = np.diff(np.concatenate([[0], last + 1]))
    return (last + 1) / len(wrong), risk, float(np.sum(risk * taken) / len(wrong))


def _draw(bins: dict[str, Any], risks: dict[str, Any]) -> Figure:
    figure, ((left, right),) = style.grid(1, 2, style.PAGE, 2.7)
    left.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, zorder=1)
    for model, (confidence, accuracy, _) in bins.items():
        look = style.MODELS[model]
        left.plot(confidence, accuracy, look.dash, color=look.color, marker=look.marker, label=look.label)
        coverage, risk = (_thin(part) for part in risks[model][:2])
        right.plot(coverage, risk, look.dash, color=look.color)
    low = min(min(c.min(), a.min()) for c, a, _ in bins.values())
    _square(left, max(0.0, float(np.floor(10 * low - 0.2)) / 10))
    left.set(xlabel="mean confidence of the bin", ylabel="accuracy of the bin")
    right.set(xlabel="coverage, most confident first", ylabel="risk (share of errors)", xlim=(0, 1.01))
    right.set_ylim(bottom=0)
    style.unique_legend(figure, [left])
    return figure


def _square(axis: Axes, low: float) -> None:
    margin = 0.02 * (1 - low)
    axis.set(xlim=(low - margin, 1 + margin), ylim=(low - margin, 1 + margin))
    axis.set_aspect("equal")


def _thin(values: np.ndarray) -> np.ndarray:
    return values[np.unique(np.linspace(0, len(values) - 1, POINTS).round().astype(int))]


def _rows(bins: dict[str, Any], risks: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for model, parts in bins.items():
        for confidence, accuracy, count in zip(*parts, strict=True):
            row = {"confidence": confidence, "accuracy": accuracy, "samples": int(count)}
            rows.append({"model": model, "panel": "reliability", **row})
        for coverage, risk in zip(*(_thin(part) for part in risks[model][:2]), strict=True):
            rows.append({"model": model, "panel": "risk-coverage", "coverage": coverage, "risk": risk})
    return rows
