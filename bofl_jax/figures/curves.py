"""Lines with bands or whiskers, the part that figures of sweeps and of studies share."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from bofl_jax.figures import style


@dataclass(frozen=True)
class Curve:
    """One line of one panel: n points, with 95 % intervals that are NaN where there are none."""

    label: str
    x: np.ndarray  # float64[n]
    mean: np.ndarray  # float64[n]
    low: np.ndarray  # float64[n]
    high: np.ndarray  # float64[n]


_DODGE = 2.0  # points between the whiskers of two lines

Panel = Sequence[Curve]
Panels = Mapping[tuple[str, str], Panel]
"""(row, column) -> the lines there; a row is a quantity, a column a model or a protocol."""


def draw_panels(
    panels: Panels,
    x_label: str,
    shape: tuple[float, float] = (1.55, 0.75),
    bands: bool = False,
    scores: Collection[str] | None = None,
    signed: Collection[str] = (),
) -> Figure:
    """A grid of panels that share x, with one legend above.

    Args:
        panels: what stands where; rows and columns follow the order of first mention.
        x_label: of the lowest panels.
        shape: inches of height that a row takes, and everything else with a legend of one line.
        bands: shade the intervals, as for curves over rounds; whiskers otherwise.
        scores: rows that are scores, which are at most 1; all of them when left out. Others begin at zero.
        signed: rows that are differences, with a line at zero.
    """
    rows, columns = (list(dict.fromkeys(key[part] for key in panels)) for part in (0, 1))
    labels = list(dict.fromkeys(curve.label for panel in panels.values() for curve in panel))[: style.SERIES]
    looks = dict(zip(labels, style.cycle(labels), strict=True))
    width = style.WIDTH if len(columns) == 1 else style.PAGE
    height = shape[0] * len(rows) + shape[1] + style.legend_height(width, labels)
    figure, axes = style.grid(len(rows), len(columns), width, height, sharex="col", sharey="row")
    for place, row in enumerate(rows):
        for axis, column in zip(axes[place], columns, strict=True):
            _fill(axis, panels.get((row, column), ()), looks, bands)
            if place == 0 and column:
                axis.set_title(column)
        axes[place][0].set_ylabel("\n".join(textwrap.wrap(row, 24)))
        if row in signed:
            for axis in axes[place]:
                axis.axhline(0, color=style.GREY, linewidth=0.9, zorder=1)
        elif scores is None or row in scores:
            score_axis(axes[place][:1])
        else:
            axes[place][0].set_ylim(0, 1.08 * axes[place][0].get_ylim()[1])
    for axis in axes[-1]:
        axis.set_xlabel(x_label)
        if bands:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    figure.align_ylabels([row[0] for row in axes])
    style.unique_legend(figure, [axis for row in axes for axis in row])
    return figure


def _fill(axis: Axes, panel: Panel, looks: Mapping[str, style.Look], bands: bool) -> None:
    order = list(looks)
    for curve in panel:
        if curve.label in looks:
            aside = _DODGE * (order.index(curve.label) - (len(order) - 1) / 2)
            if bands and np.isfinite(curve.mean).sum() > 1:
                _band(axis, curve, looks[curve.label])
            else:
                _whiskers(axis, curve, looks[curve.label], aside)


def _band(axis: Axes, curve: Curve, look: style.Look) -> None:
    known = np.isfinite(curve.mean)
    x, mean, low, high = (part[known] for part in (curve.x, curve.mean, curve.low, curve.high))
    marker = look.marker if len(x) <= 12 else ""
    axis.plot(x, mean, color=look.color, linestyle=look.dash, marker=marker, label=look.label)
    axis.fill_between(x, low, high, color=look.color, alpha=0.18, linewidth=0, where=np.isfinite(low))


def _whiskers(axis: Axes, curve: Curve, look: style.Look, aside: float) -> None:
    """Points, joined, with whiskers; ``aside`` points to the right, lest the whiskers of two lines hide each other."""
    moved = axis.transData + ScaledTranslation(aside / 72, 0, axis.figure.dpi_scale_trans)
    known = np.isfinite(curve.mean)
    x, mean, low, high = (part[known] for part in (curve.x, curve.mean, curve.low, curve.high))
    axis.plot(x, mean, color=look.color, linestyle=look.dash, marker=look.marker, label=look.label)
    sure = np.isfinite(low) & np.isfinite(high)
    axis.vlines(x[sure], low[sure], high[sure], color=look.color, linewidth=0.8)
    for artist in (axis.lines[-1], axis.collections[-1]):
        artist.set_transform(moved)  # after the limits were found from the data


def score_axis(axes: Sequence[Axes]) -> None:
    """Scores are at most 1; the axis starts at a round number below the lowest value that is drawn, not below 0.

    Axes that share their scale with one of these take part.
    """
    for axis in axes:
        limits = [one.dataLim.intervaly for one in axis.get_shared_y_axes().get_siblings(axis)]
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        if np.isfinite([low, high]).all():
            bottom = max(0.0, np.floor(10 * low - 0.2) / 10)
            axis.set_ylim(bottom, min(1.02, high + 0.08 * (high - bottom) + 0.01))


def rows_of(panels: Panels, x_name: str, **more: Any) -> list[dict[str, Any]]:
    """Every point of every line, also of lines beyond those that can be told apart, as tidy rows."""
    return [
        {"quantity": row, "panel": column, "line": curve.label, x_name: x, "mean": mean, "low": low, "high": high}
        | more
        for (row, column), panel in panels.items()
        for curve in panel
        for x, mean, low, high in zip(curve.x, curve.mean, curve.low, curve.high, strict=True)
    ]


def left_out(panels: Panels) -> str:
    """A sentence about lines that were not drawn, because more could not be told apart; "" where all were."""
    count = len({curve.label for panel in panels.values() for curve in panel})
    return (
        f" The first {style.SERIES} of {count} lines are drawn; the CSV file has all." if count > style.SERIES else ""
    )
