"""Recall and precision of every class, before and after personalisation, with intervals over people."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import PERSON_INTERVALS, capitalise, join_words, sample_sizes
from bofl_jax.figures.intervals import Ends, metric_interval
from bofl_jax.metrics import METRICS, Place
from bofl_jax.results import RunResults

_GROUP_WIDTH = 0.8  # of the distance between two classes, covered by bars


def per_class(run: RunResults) -> Drawing | Unavailable:
    """Draw a bar for each class and model; whiskers are 95 % percentile intervals of the bootstrap over people."""
    rows = class_rows(run)
    if not rows:
        return Unavailable("no model was evaluated on the test data")
    titles = capitalise(join_words([metric.title for metric in METRICS.select(place=Place.BARS)]))
    caption = f"{titles} of each class in the test. Whiskers: {PERSON_INTERVALS}. {sample_sizes(run)}"
    return Drawing(_draw(rows), f"{caption} n/a: the class has no sample.", rows)


def class_rows(run: RunResults) -> list[dict[str, Any]]:
    """The metrics by model and class with their intervals, as tidy rows."""
    rows = []
    for model in (model for model in style.MODELS if model in run.summary.test):
        classes = run.summary.test[model]["per_class"]
        for metric in METRICS.select(place=Place.BARS):
            low, high = metric_interval(run.predictions, model, metric.key, len(classes))
            for index, (name, measured) in enumerate(classes.items()):
                value = measured.get(metric.key)
                row = {"model": model, "quantity": metric.title, "class": name, "samples": measured["support"]}
                row |= {"value": np.nan if value is None else float(value), "low": low[index], "high": high[index]}
                rows.append(row)
    return rows


def _draw(rows: list[dict[str, Any]]) -> Figure:
    models, quantities = (list(dict.fromkeys(row[column] for row in rows)) for column in ("model", "quantity"))
    support = {row["class"]: row["samples"] for row in rows}
    figure, axes = style.stacked_panels(len(quantities), 1.8 * len(quantities), sharex=True)
    for axis, quantity in zip(axes, quantities, strict=True):
        for index, model in enumerate(models):
            width = _GROUP_WIDTH / len(models)
            offset = (index + 0.5) * width - _GROUP_WIDTH / 2
            shown = [row for row in rows if (row["model"], row["quantity"]) == (model, quantity)]
            height, low, high = (np.array([row[name] for row in shown]) for name in ("value", "low", "high"))
            x = _draw_bars(axis, height, (offset, width), style.MODELS[model])
            _draw_whiskers(axis, x, height, (low, high))
        axis.set_ylabel(quantity)
        axis.set_ylim(0, 1.04)
        axis.set_xlim(-0.6, len(support) - 0.4)
        axis.tick_params(axis="x", length=0)
    axes[-1].set_xticks(range(len(support)), [f"{name}\n{count:,}" for name, count in support.items()])
    axes[-1].set_xlabel("class, with its number of test samples")
    style.unique_legend(figure, axes)
    return figure


def _draw_bars(axis: Axes, height: np.ndarray, position: tuple[float, float], series: style.SeriesStyle) -> np.ndarray:
    """Draw one model's bars at ``position`` = (offset, width) within each class's group; return their x."""
    offset, width = position
    x, known = np.arange(len(height)) + offset, np.isfinite(height)
    axis.bar(
        x[known], height[known], 0.92 * width, color=series.color, hatch=series.hatch, ec="white", label=series.label
    )
    for unknown in x[~known]:
        axis.text(unknown, 0.02, "n/a", ha="center", va="bottom", color=style.GREY, fontsize=6, rotation=90)
    return x


def _draw_whiskers(axis: Axes, x: np.ndarray, height: np.ndarray, interval: Ends) -> None:
    low, high = interval
    lengths = np.stack([np.maximum(height - low, 0), np.maximum(high - height, 0)])
    known = np.isfinite(lengths).all(axis=0)
    axis.errorbar(x[known], height[known], lengths[:, known], fmt="none", ecolor="black", elinewidth=0.7, capsize=1.5)
