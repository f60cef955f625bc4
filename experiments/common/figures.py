"""Figures of two columns' width that an experiment draws from its committed results."""

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bofl_jax.figures.style import COLUMN_WIDTH


def wide_figure(height: float) -> Figure:
    """An empty figure of two columns' width; ``height`` in inches."""
    figure = Figure(figsize=(2 * COLUMN_WIDTH + 0.2, height))
    FigureCanvasAgg(figure)
    return figure


def legend_below(figure: Figure, axis: Axes) -> None:
    """A legend below the panels, three columns wide, of the labelled series of one axis.

    Args:
        figure: the figure.
        axis: axis with the labelled series.
    """
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
