"""Recall and precision of every class, before and after personalisation, with intervals over people."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bofl_jax.figures import intervals, style
from bofl_jax.figures.intervals import interval_over_people
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.words import BY_SUBJECT, sizes
from bofl_jax.results import Run

QUANTITIES = {"recall": intervals.recall, "precision": intervals.precision}
_SPAN = 0.8  # of the distance between two classes, covered by bars


def per_class(run: Run) -> Drawing | Skip:
    """A bar per class and model; whiskers are 95 % percentile intervals of the bootstrap over people."""
    rows = measured(run)
    if not rows:
        return Skip("no model was evaluated on the test data")
    figure = _draw([row for row in rows if row["quantity"] in QUANTITIES])
    caption = f"Recall and precision of each class in the test. Whiskers: {BY_SUBJECT}. {sizes(run)}"
    return Drawing(figure, f"{caption} n/a: the class has no sample.", rows)


def measured(run: Run) -> list[dict[str, Any]]:
    """Recall and precision by model and class with their intervals, as tidy rows."""
    rows = []
    for model in (model for model in style.MODELS if model in run.summary.test):
        classes = run.summary.test[model]["per_class"]
        for quantity, function in QUANTITIES.items():
            low, high = interval_over_people(run.predictions, model, function) or np.full((2, len(classes)), np.nan)
            for place, (name, row) in enumerate(classes.items()):
                value = np.nan if row[quantity] is None else float(row[quantity])
                rows.append(
                    {"model": model, "quantity": quantity, "class": name, "samples": row["support"], "value": value}
                    | {"low": low[place], "high": high[place]}
                )
    return rows


def _draw(rows: list[dict[str, Any]]) -> Figure:
    models = list(dict.fromkeys(row["model"] for row in rows))
    support = {row["class"]: row["samples"] for row in rows}
    figure, axes = style.panels(2, 3.6, sharex=True)
    for axis, quantity in zip(axes, QUANTITIES, strict=True):
        for place, model in enumerate(models):
            width = _SPAN / len(models)
            offset = (place + 0.5) * width - _SPAN / 2
            shown = [row for row in rows if (row["model"], row["quantity"]) == (model, quantity)]
            height, low, high = (np.array([row[name] for row in shown]) for name in ("value", "low", "high"))
            _whiskers(axis, _bars(axis, height, (offset, width), style.MODELS[model]), height, (low, high))
        axis.set_ylabel(quantity)
        axis.set_ylim(0, 1.04)
        axis.set_xlim(-0.6, len(support) - 0.4)
        axis.tick_params(axis="x", length=0)
    axes[1].set_xticks(range(len(support)), [f"{name}\n{count:,}" for name, count in support.items()])
    axes[1].set_xlabel("class, with its number of test samples")
    style.unique_legend(figure, axes)
    return figure


def _bars(axis: Axes, height: np.ndarray, place: tuple[float, float], look: style.Look) -> np.ndarray:
    """Draw one model's bars at ``place`` = (offset, width) within each class's group; return their positions."""
    offset, width = place
    x, known = np.arange(len(height)) + offset, np.isfinite(height)
    axis.bar(x[known], height[known], 0.92 * width, color=look.color, hatch=look.hatch, ec="white", label=look.label)
    for position in x[~known]:
        axis.text(position, 0.02, "n/a", ha="center", va="bottom", color=style.GREY, fontsize=6, rotation=90)
    return x


def _whiskers(axis: Axes, x: np.ndarray, height: np.ndarray, interval: tuple[np.ndarray, np.ndarray]) -> None:
    low, high = interval
    lengths = np.stack([np.maximum(height - low, 0), np.maximum(high - height, 0)])
    known = np.isfinite(lengths).all(axis=0)
    axis.errorbar(x[known], height[known], lengths[:, known], fmt="none", ecolor="black", elinewidth=0.7, capsize=1.5)
