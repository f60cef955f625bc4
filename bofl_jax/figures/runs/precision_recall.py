"""Precision against recall of the rare classes, with the point at specificity .95."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import sample_sizes
from bofl_jax.metrics.scores import SPECIFICITY
from bofl_jax.results import Predictions, RunResults

MAX_POINTS = 500
"""Largest number of points of a curve, spread evenly over its recalls."""

MAX_CLASSES = 4
"""Largest number of classes that are drawn, the most frequent of the rare ones."""


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision against recall of one class and model, n points with falling threshold."""

    recall: np.ndarray  # float64[n], rising
    precision: np.ndarray  # float64[n]
    threshold: np.ndarray  # float64[n]
    area: float  # average precision
    operating_point: tuple[float, float]  # recall and precision at the lowest threshold with a specificity of .95


def precision_recall(run: RunResults) -> Drawing | Unavailable:
    """Draw a panel for each class but the most frequent one, with a line for each model."""
    names, predictions = rare_classes(run.predictions), run.predictions
    if not names or not predictions.models:
        return Unavailable("no class but one has test samples" if predictions.models else "no model has probabilities")
    curves = {(name, model): _curve(predictions, name, model) for name in names for model in predictions.models}
    support = {name: int(np.sum(predictions.label == predictions.classes.index(name))) for name in names}
    caption = (
        "Precision against recall of the rare classes, each against all others. The mark is the largest recall at a "
        f"specificity of at least {SPECIFICITY} on these same test samples; AP is the average precision, in the order "
        f"of the legend. The grey line is chance (the class's share). Samples: "
        f"{', '.join(f'{name} {count:,}' for name, count in support.items())}. {sample_sizes(run)} There are no "
        "intervals. "
        f"A curve is thinned to {MAX_POINTS} points at most."
    )
    return Drawing(_draw(curves, support, len(predictions.label)), caption, _rows(curves))


def rare_classes(predictions: Predictions) -> list[str]:
    """At most `MAX_CLASSES` classes that have samples, without the most frequent one, in the order of the classes."""
    count = np.bincount(predictions.label, minlength=len(predictions.classes))
    order = [index for index in np.argsort(-count, kind="stable") if count[index]][1 : MAX_CLASSES + 1]
    return [predictions.classes[index] for index in sorted(order)]


def precision_recall_curve(positive: np.ndarray, score: np.ndarray) -> PrecisionRecallCurve:
    """The curve of one class, by scikit-learn in float64.

    Args:
        positive: bool[N], whether a sample is of the class.
        score: float[N], its probability.

    Davis & Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.

    >>> found = precision_recall_curve(np.array([True, False, True]), np.array([0.9, 0.5, 0.4]))
    >>> found.recall.tolist(), found.operating_point
    ([0.5, 1.0], (0.5, 1.0))
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

    precision, recall, threshold = precision_recall_curve(positive, score)
    false_positive, true_positive, _ = roc_curve(positive, score, drop_intermediate=False)
    reached = true_positive[1 - false_positive >= SPECIFICITY].max()
    precision, recall, threshold = precision[-2::-1], recall[-2::-1], threshold[::-1]
    at = int(np.searchsorted(recall, reached - 1e-12)) if reached else 0
    _, step = np.unique(recall, return_index=True)  # the best precision of every recall
    kept = step[np.unique(np.linspace(0, len(step) - 1, MAX_POINTS).round().astype(int))]
    area = float(average_precision_score(positive, score))
    operating_point = (float(reached), float(precision[at]) if reached else 1.0)
    return PrecisionRecallCurve(recall[kept], precision[kept], threshold[kept], area, operating_point)


def _curve(predictions: Predictions, name: str, model: str) -> PrecisionRecallCurve:
    index = predictions.classes.index(name)
    return precision_recall_curve(predictions.label == index, predictions.models[model][:, index])


def _draw(curves: dict[tuple[str, str], PrecisionRecallCurve], support: dict[str, int], samples: int) -> Figure:
    width = style.COLUMN_WIDTH if len(support) == 1 else style.PAGE_WIDTH
    figure, (axes,) = style.panel_grid(1, len(support), width, 2.4, sharey=True, sharex=True)
    for axis, (name, count) in zip(axes, support.items(), strict=True):
        own = {model: found for (other, model), found in curves.items() if other == name}
        axis.axhline(count / samples, color="#bbbbbb", linewidth=0.8, zorder=1)
        for model, found in own.items():
            _draw_line(axis, found, style.MODELS[model])
        axis.set_title(f"{name}: AP {' / '.join(f'{found.area:.2f}' for found in own.values())}")
        axis.set_xlabel("recall")
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.04)
    axes[0].set_ylabel("precision")
    style.unique_legend(figure, axes)
    return figure


def _draw_line(axis: Axes, found: PrecisionRecallCurve, series: style.SeriesStyle) -> None:
    axis.plot(found.recall, found.precision, color=series.color, linestyle=series.linestyle)
    axis.plot(*found.operating_point, series.marker, color=series.color, markersize=5, mec="white", mew=0.6)
    axis.plot([], [], color=series.color, linestyle=series.linestyle, marker=series.marker, label=series.label)


def _rows(curves: dict[tuple[str, str], PrecisionRecallCurve]) -> list[dict[str, Any]]:
    rows = []
    for (name, model), found in curves.items():
        head = {"class": name, "model": model}
        points = zip(found.threshold, found.recall, found.precision, strict=True)
        rows += [head | {"point": "curve", "threshold": t, "recall": r, "precision": p} for t, r, p in points]
        rows.append(
            head
            | {"point": "specificity .95", "recall": found.operating_point[0], "precision": found.operating_point[1]}
        )
        rows.append(head | {"point": "average precision", "precision": found.area})
    return rows
