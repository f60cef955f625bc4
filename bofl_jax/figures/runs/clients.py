"""Accuracy of every client before and after personalisation, and how evenly it is spread."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bofl_jax.figures import style
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.words import sizes
from bofl_jax.results import Run

CROWD = 100
"""More clients than this are drawn with smaller markers."""


def clients(run: Run) -> Drawing | Skip:
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
    style.legend(figure, *axis.get_legend_handles_labels(), markerscale=1 if len(order) <= CROWD else 2)
    return Drawing(figure, _caption(run, columns), _rows(run, order, columns))


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


def _rows(run: Run, order: np.ndarray, columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [
        {"rank": rank, "client": run.clients.name[client]}
        | {f"{model} accuracy": values[client] for model, values in columns.items()}
        for rank, client in enumerate(order, 1)
    ]


def _caption(run: Run, columns: dict[str, np.ndarray]) -> str:
    parts = []
    for model, values in columns.items():
        known = values[np.isfinite(values)]
        worst, sd, jain = spread(known)
        parts.append(f"{model}: mean {known.mean():.3f}, worst {worst:.3f}, sd {sd:.3f}, Jain {jain:.4f}")
    return (
        "Test accuracy of every client, in the order of the first model's; the dashed lines are the means of the worst "
        f"10 % of clients (ceil(0.1 C) of them). {'; '.join(parts)} (sd over clients, divided by C). {sizes(run)} "
        "Clients without test samples are left out. Every client is shown, so there are no intervals."
    )
