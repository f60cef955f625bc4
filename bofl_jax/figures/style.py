"""One look for all figures: column width, small sans type, colours that colour-blind readers tell apart.

Colours are Okabe and Ito's ("Color universal design", 2008). Each series also differs in marker, dash or hatch, so that
nothing is lost in grey print.
"""

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 3.4
"""Inches: one column of a two-column page."""

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
class Look:
    """How one series is drawn wherever it appears."""

    label: str
    color: str
    marker: str
    dash: str = "-"
    hatch: str = ""


MODELS = {
    "global": Look("global", "#0072B2", "o", "-"),
    "personalised": Look("personalised", "#D55E00", "^", "--", "//////"),
}
LOSS = Look("training loss", "#000000", "")
ACCURACY = Look("accuracy", "#009E73", "s", "--")
MACRO_F1 = Look("macro-F1", "#0072B2", "o", "-")
LEDGER = Look("ledger", "#0072B2", "o")


def count_axis(axis: Axes, count: int) -> None:
    """Make x an axis of things counted from 1 to ``count``: whole, round ticks, room even for a single one."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    if count == 1:
        axis.set_xlim(0, 2)


def panels(rows: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A column-wide figure of stacked panels on its own Agg canvas: no global state of pyplot is touched.

    Args:
        rows: number of panels.
        height: of the whole figure, in inches.
        options: of ``Figure.subplots``.
    """
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, squeeze=False, **options)[:, 0]
    return figure, list(axes)
