"""Lines with bands or whiskers, for figures of sweeps and of studies."""

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
class CurveSeries:
    """One line of one panel: n points, with 95 % intervals that are NaN where there are none."""

    label: str
    x: np.ndarray  # float64[n]
    mean: np.ndarray  # float64[n]
    low: np.ndarray  # float64[n]
    high: np.ndarray  # float64[n]


_SERIES_OFFSET = 2.0  # points between the whiskers of two lines

Panel = Sequence[CurveSeries]
Panels = Mapping[tuple[str, str], Panel]
"""(row, column) -> the lines of that panel; a row is a quantity, a column a model or a protocol."""


def draw_panels(
    panels: Panels,
    x_label: str,
    shape: tuple[float, float] = (1.55, 0.75),
    bands: bool = False,
    scores: Collection[str] | None = None,
    signed: Collection[str] = (),
) -> Figure:
    """Draw a grid of panels that share x, with one legend above.

    Args:
        panels: the lines of each panel; rows and columns have the order of their first use.
        x_label: of the lowest panels.
        shape: inches of height of a row, and of everything else with a legend of one line.
        bands: shade the intervals, as for curves over rounds; whiskers otherwise.
        scores: rows that are scores, which are at most 1; all rows if they are left out. Others begin at zero.
        signed: rows that are differences, with a line at zero.
    """
    rows, columns = (list(dict.fromkeys(key[part] for key in panels)) for part in (0, 1))
    labels = list(dict.fromkeys(curve.label for panel in panels.values() for curve in panel))[: style.MAX_SERIES]
    styles = dict(zip(labels, style.series_styles(labels), strict=True))
    width = style.COLUMN_WIDTH if len(columns) == 1 else style.PAGE_WIDTH
    height = shape[0] * len(rows) + shape[1] + style.legend_height(width, labels)
    figure, axes = style.panel_grid(len(rows), len(columns), width, height, sharex="col", sharey="row")
    for index, row in enumerate(rows):
        for axis, column in zip(axes[index], columns, strict=True):
            _draw_panel(axis, panels.get((row, column), ()), styles, bands)
            if index == 0 and column:
                axis.set_title(column)
        axes[index][0].set_ylabel("\n".join(textwrap.wrap(row, 24)))
        if row in signed:
            for axis in axes[index]:
                axis.axhline(0, color=style.GREY, linewidth=0.9, zorder=1)
        elif scores is None or row in scores:
            fit_score_axis(axes[index][:1])
        else:
            axes[index][0].set_ylim(0, 1.08 * axes[index][0].get_ylim()[1])
    for axis in axes[-1]:
        axis.set_xlabel(x_label)
        if bands:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    figure.align_ylabels([row[0] for row in axes])
    style.unique_legend(figure, [axis for row in axes for axis in row])
    return figure


def _draw_panel(axis: Axes, panel: Panel, styles: Mapping[str, style.SeriesStyle], bands: bool) -> None:
    order = list(styles)
    for curve in panel:
        if curve.label in styles:
            offset = _SERIES_OFFSET * (order.index(curve.label) - (len(order) - 1) / 2)
            if bands and np.isfinite(curve.mean).sum() > 1:
                _draw_band(axis, curve, styles[curve.label])
            else:
                _draw_whiskers(axis, curve, styles[curve.label], offset)


def _draw_band(axis: Axes, curve: CurveSeries, series: style.SeriesStyle) -> None:
    known = np.isfinite(curve.mean)
    x, mean, low, high = (part[known] for part in (curve.x, curve.mean, curve.low, curve.high))
    marker = series.marker if len(x) <= 12 else ""
    axis.plot(x, mean, color=series.color, linestyle=series.linestyle, marker=marker, label=series.label)
    axis.fill_between(x, low, high, color=series.color, alpha=0.18, linewidth=0, where=np.isfinite(low))


def _draw_whiskers(axis: Axes, curve: CurveSeries, series: style.SeriesStyle, offset: float) -> None:
    """Draw joined points with whiskers, moved to the right by ``offset`` points so that whiskers do not overlap."""
    moved = axis.transData + ScaledTranslation(offset / 72, 0, axis.figure.dpi_scale_trans)
    known = np.isfinite(curve.mean)
    x, mean, low, high = (part[known] for part in (curve.x, curve.mean, curve.low, curve.high))
    axis.plot(x, mean, color=series.color, linestyle=series.linestyle, marker=series.marker, label=series.label)
    bounded = np.isfinite(low) & np.isfinite(high)
    axis.vlines(x[bounded], low[bounded], high[bounded], color=series.color, linewidth=0.8)
    for artist in (axis.lines[-1], axis.collections[-1]):
        artist.set_transform(moved)  # after the limits were found from the data


def fit_score_axis(axes: Sequence[Axes]) -> None:
    """Fit axes of scores, which are at most 1: they start at a round number below the lowest value, but not below 0.

    Axes that share their scale with one of them are fitted too.
    """
    for axis in axes:
        limits = [one.dataLim.intervaly for one in axis.get_shared_y_axes().get_siblings(axis)]
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        if np.isfinite([low, high]).all():
            bottom = max(0.0, np.floor(10 * low - 0.2) / 10)
            axis.set_ylim(bottom, min(1.02, high + 0.08 * (high - bottom) + 0.01))


def panel_rows(panels: Panels, x_name: str, **more: Any) -> list[dict[str, Any]]:
    """Every point of every line as tidy rows, also of lines that are not drawn.

    Args:
        panels: the lines of each panel.
        x_name: column of x.
        more: further columns, the same in all rows.
    """
    return [
        {"quantity": row, "panel": column, "line": curve.label, x_name: x, "mean": mean, "low": low, "high": high}
        | more
        for (row, column), panel in panels.items()
        for curve in panel
        for x, mean, low, high in zip(curve.x, curve.mean, curve.low, curve.high, strict=True)
    ]


def omission_note(panels: Panels) -> str:
    """A sentence about lines that are not drawn, because they could not be told apart; "" if all are drawn."""
    count = len({curve.label for panel in panels.values() for curve in panel})
    return (
        f" The first {style.MAX_SERIES} of {count} lines are drawn; the CSV file has all."
        if count > style.MAX_SERIES
        else ""
    )
