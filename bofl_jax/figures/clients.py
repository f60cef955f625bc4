"""Accuracy of every client before and after personalisation, and how evenly it is spread."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.reading import Run
from bofl_jax.figures.skip import Skip

CROWD = 100
"""More clients than this are drawn with smaller markers."""


def clients(run: Run) -> Figure | Skip:
    """Clients in order of their accuracy under the global model; a line joins a client's two results.

    The dashed lines are the means of the worst 10 % of clients, each model's own.
    """
    columns = {"global": run.clients.global_accuracy, "personalised": run.clients.personalised_accuracy}
    columns = {model: values for model, values in columns.items() if np.isfinite(values).any()}
    if not columns:
        return Skip("no client has an accuracy")
    order = np.lexsort(tuple(reversed(list(columns.values()))))
    order = order[np.isfinite([columns[model][order] for model in columns]).any(axis=0)]
    figure, (axis,) = style.panels(1, 2.75)
    rank = np.arange(1, len(order) + 1)
    if len(columns) == 2:
        before, after = (values[order] for values in columns.values())
        axis.vlines(rank, before, after, color="#bbbbbb", linewidth=min(0.6, 60 / len(order)), zorder=1)
    for model, values in columns.items():
        _series(axis, rank, values[order], style.MODELS[model])
    axis.set_xlabel(f"client, sorted by {style.MODELS[next(iter(columns))].label} accuracy")
    axis.set_ylabel("test accuracy")
    style.count_axis(axis, len(order))
    axis.set_ylim(_bottom(np.concatenate(list(columns.values()))), 1.01)
    figure.legend(
        *axis.get_legend_handles_labels(), loc="outside upper center", markerscale=1 if len(order) <= CROWD else 2
    )
    return figure


def spread(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of the ceil(0.1 C) lowest values, population standard deviation, Jain's index (NaN if all are zero).

    >>> spread(np.array([1.0, 0.5]))
    (0.5, 0.25, 0.9)
    """
    lowest = np.sort(values)[: math.ceil(len(values) / 10)]
    power = len(values) * np.sum(values**2)
    return float(lowest.mean()), float(values.std()), float(values.sum() ** 2 / power) if power else math.nan


def _series(axis: Axes, rank: np.ndarray, values: np.ndarray, look: style.Look) -> None:
    worst, sd, jain = spread(values[np.isfinite(values)])
    label = f"{look.label}: worst 10 % {worst:.3f}, sd {sd:.3f}, Jain {jain:.4f}"
    size = 3.2 if len(rank) <= CROWD else 1.6
    points: dict[str, Any] = {"color": look.color, "marker": look.marker, "markersize": size, "markeredgewidth": 0}
    axis.plot(rank, values, linestyle="", **points)
    axis.axhline(worst, color=look.color, linewidth=0.9, linestyle="--")
    axis.plot([], [], linestyle="--", linewidth=0.9, label=label, **points)  # the legend shows points and line as one


def _bottom(values: np.ndarray) -> float:
    """A round number below the lowest accuracy: the axis starts there, or at zero."""
    return max(0.0, math.floor(np.nanmin(values) * 10 - 0.3) / 10)
