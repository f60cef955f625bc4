"""Accuracy of every client before and after personalisation, and how evenly it is distributed."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import sample_sizes
from bofl_jax.metrics import fairness
from bofl_jax.results import RunResults

SMALL_MARKERS_ABOVE = 100
"""More clients than this are drawn with smaller markers."""


def clients(run: RunResults) -> Drawing | Unavailable:
    """Draw clients in the order of their accuracy under the global model; a line joins a client's two results.

    The dashed lines are the means of the worst 10 % of clients under each model.
    """
    columns = {"global": run.clients.global_accuracy, "personalised": run.clients.personalised_accuracy}
    columns = {model: values for model, values in columns.items() if np.isfinite(values).any()}
    if not columns:
        return Unavailable("no client has an accuracy")
    order = np.lexsort(tuple(reversed(list(columns.values()))))
    order = order[np.isfinite([columns[model][order] for model in columns]).any(axis=0)]
    figure, (axis,) = style.stacked_panels(1, 2.75)
    rank = np.arange(1, len(order) + 1)
    if len(columns) == 2:
        before, after = (values[order] for values in columns.values())
        axis.vlines(rank, before, after, color="#bbbbbb", linewidth=min(0.6, 60 / len(order)), zorder=1)
    for model, values in columns.items():
        _draw_model(axis, rank, values[order], style.MODELS[model])
    axis.set_xlabel(f"client, sorted by {style.MODELS[next(iter(columns))].label} accuracy")
    axis.set_ylabel("test accuracy")
    style.count_axis(axis, len(order))
    axis.set_ylim(_bottom(np.concatenate(list(columns.values()))), 1.01)
    markerscale = 1 if len(order) <= SMALL_MARKERS_ABOVE else 2
    style.legend(figure, *axis.get_legend_handles_labels(), markerscale=markerscale)
    return Drawing(figure, _caption(run, columns), _rows(run, order, columns))


def _draw_model(axis: Axes, rank: np.ndarray, values: np.ndarray, series: style.SeriesStyle) -> None:
    _, worst, sd, jain = _fairness(values)
    label = f"{series.label}: worst 10 % {worst:.3f}, sd {sd:.3f}, Jain {jain:.4f}"
    size = 3.2 if len(rank) <= SMALL_MARKERS_ABOVE else 1.6
    points: dict[str, Any] = {"color": series.color, "marker": series.marker, "markersize": size, "markeredgewidth": 0}
    axis.plot(rank, values, linestyle="", **points)
    axis.axhline(worst, color=series.color, linewidth=0.9, linestyle="--")
    axis.plot([], [], linestyle="--", linewidth=0.9, label=label, **points)  # the legend shows points and line as one


def _fairness(values: np.ndarray) -> tuple[float, float, float, float]:
    """Mean, mean of the worst 10 %, standard deviation and Jain's index of float64[C], NaN for no accuracy."""
    found = fairness(jnp.asarray(values, jnp.float32), jnp.isfinite(values))
    return float(found.mean), float(found.worst_10_percent), float(found.sd), float(found.jain)


def _bottom(values: np.ndarray) -> float:
    """The lower end of the axis: a round number below the lowest accuracy, or zero."""
    return max(0.0, math.floor(float(np.nanmin(values)) * 10 - 0.3) / 10)


def _rows(run: RunResults, order: np.ndarray, columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [
        {"rank": rank, "client": run.clients.name[client]}
        | {f"{model} accuracy": values[client] for model, values in columns.items()}
        for rank, client in enumerate(order, 1)
    ]


def _caption(run: RunResults, columns: dict[str, np.ndarray]) -> str:
    parts = []
    for model, values in columns.items():
        mean, worst, sd, jain = _fairness(values)
        parts.append(f"{model}: mean {mean:.3f}, worst {worst:.3f}, sd {sd:.3f}, Jain {jain:.4f}")
    return (
        "Test accuracy of every client, in the order of the first model's; the dashed lines are the means of the worst "
        f"10 % of clients (ceil(0.1 C) of them). {'; '.join(parts)} (sd over clients, divided by C). "
        f"{sample_sizes(run)} Clients without test samples are left out. Every client is shown, so there are no "
        "intervals."
    )
