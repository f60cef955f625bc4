"""The style of all figures: column width, small sans type, colours that colour-blind readers can tell apart.

Colours are those of Okabe and Ito ("Color universal design", 2008). Series also differ in marker, line style or hatch,
so that they can be told apart in grey print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLUMN_WIDTH = 3.4
"""Inches: one column of a two-column page."""

PAGE_WIDTH = 7.0
"""Inches: the full width of a two-column page."""

GREY = "#666666"

RC: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.0,
    "legend.borderaxespad": 0.2,
    "hatch.linewidth": 0.5,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class SeriesStyle:
    """The style of one series in all figures."""

    label: str
    color: str
    marker: str
    linestyle: Any = "-"
    hatch: str = ""


MODELS = {
    "global": SeriesStyle("global", "#0072B2", "o", "-"),
    "personalised": SeriesStyle("personalised", "#D55E00", "^", "--", "//////"),
}
LOSS = SeriesStyle("training loss", "#000000", "")
ACCURACY = SeriesStyle("accuracy", "#009E73", "s", "--")
MACRO_F1 = SeriesStyle("macro-F1", "#0072B2", "o", "-")
LEDGER = SeriesStyle("ledger", "#0072B2", "o")
HASHING = SeriesStyle("hashing", "#D55E00", "^", "--")

MAX_SERIES = 8
"""Number of series that can be told apart in one figure."""

_STYLES = (
    ("#0072B2", "o", "-", ""),
    ("#D55E00", "^", "--", "//////"),
    ("#009E73", "s", "-.", "......"),
    ("#CC79A7", "D", (0, (1, 1)), "xxxxxx"),
    ("#E69F00", "v", (0, (5, 1, 1, 1, 1, 1)), "\\\\\\\\\\\\"),
    ("#56B4E9", "P", (0, (6, 2)), "++++++"),
    ("#000000", "X", (0, (1, 2)), "------"),
    ("#999999", "*", (0, (3, 1, 1, 1)), "oooo"),
)


_METHODS = ("FedAvg + FT", "Local only", "PerFedAvg + FT", "Ditto", "Proposed", "FedAvg", "Centralised", "FedProx")
"""Methods that have the same style in every figure, in the order of `_STYLES`."""


def series_styles(labels: Sequence[str]) -> list[SeriesStyle]:
    """Styles for at most `MAX_SERIES` series: a known method has its own, the others take the remaining ones in order.

    >>> [series.color for series in series_styles(["a", "b", "FedAvg + FT"])]
    ['#D55E00', '#009E73', '#0072B2']
    """
    labels = labels[:MAX_SERIES]
    own = {label: _METHODS.index(label) for label in labels if label in _METHODS}
    free = (index for index in range(MAX_SERIES) if index not in own.values())
    return [SeriesStyle(label, *_STYLES[own[label] if label in own else next(free)]) for label in labels]


def count_axis(axis: Axes, count: int) -> None:
    """Make x an axis of counts from 1 to ``count``, with round integer ticks and with room around a single one.

    Args:
        axis: to change.
        count: the largest count.
    """
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    if count == 1:
        axis.set_xlim(0, 2)


def stacked_panels(rows: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of stacked panels, as wide as a column, on its own Agg canvas, without the global state of pyplot.

    Args:
        rows: number of panels.
        height: of the whole figure, in inches.
        options: of ``Figure.subplots``.
    """
    figure, axes = panel_grid(rows, 1, COLUMN_WIDTH, height, **options)
    return figure, [row[0] for row in axes]


def panel_grid(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, list[list[Axes]]]:
    """A figure of panels, row by row.

    Args:
        rows: of panels.
        columns: of panels.
        width: of the whole figure, in inches: `WIDTH` or `PAGE`.
        height: of the whole figure, in inches.
        options: of ``Figure.subplots``.
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options).tolist()


def legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], **options: Any) -> None:
    """Add a legend above the panels, in as many columns as fit into the figure's width.

    Args:
        figure: to change.
        handles: of the series.
        labels: of the series.
        options: of ``Figure.legend``.
    """
    if handles:
        columns = legend_columns(figure.get_figwidth(), labels)
        figure.legend(list(handles), list(labels), loc="outside upper center", ncols=columns, **options)


def legend_columns(width: float, labels: Sequence[str]) -> int:
    """Number of legend columns that fit into a width in inches, for as few and as even rows as possible.

    Args:
        width: of the figure, in inches.
        labels: of the series.
    """
    widest = 0.45 + 0.06 * max(map(len, labels))  # handle and gaps, and the letters' mean width at 7 points
    fitting = max(1, int(width / widest))
    return math.ceil(len(labels) / math.ceil(len(labels) / fitting))


def legend_height(width: float, labels: Sequence[str]) -> float:
    """Height in inches of the legend's lines beyond the first one.

    Args:
        width: of the figure, in inches.
        labels: of the series.
    """
    return 0.15 * (math.ceil(len(labels) / legend_columns(width, labels)) - 1) if labels else 0.0


def unique_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add one legend for several panels, with every label once, in the order of its first use.

    Args:
        figure: to change.
        axes: its panels.
    """
    found: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    legend(figure, list(found.values()), list(found))
