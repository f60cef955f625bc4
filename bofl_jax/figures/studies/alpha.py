"""Scores against heterogeneity: the concentration of the Dirichlet partition."""

from matplotlib.axes import Axes

from bofl_jax.figures import curves
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.studies.lines import (
    Panels,
    column_by_protocol,
    csv_rows,
    interval,
    known_metrics,
    name_by_arm,
    panels_of,
    sample_sizes,
    with_differences,
    with_x,
)
from bofl_jax.results import Result, Study

NATURAL = "natural"
_APART = 10.0  # the natural split stands at this times the largest alpha


def alpha(study: Study) -> Drawing | Skip:
    """Against alpha on a logarithmic axis; clients as they naturally are stand apart, at the right."""
    difference, rows = with_differences(with_x(study, "alpha"))
    alphas = sorted({float(row.x["alpha"]) for row in rows if row.x["alpha"] != NATURAL})
    if not alphas:
        return Skip("no row has x.alpha")
    metrics = known_metrics(rows, ("macro_f1", "recall_at_spec95_S", "recall_S"))[:2]
    metrics += known_metrics(rows, (difference,)) if metrics else []
    panels = _panels(rows, metrics, _APART * alphas[-1])
    if not panels:
        return Skip("no row with x.alpha has a macro_f1")
    figure = curves.draw_panels(panels, "Dirichlet concentration α", signed=(difference,))
    for axis in figure.axes:
        _scale(axis, alphas, any(row.x["alpha"] == NATURAL for row in rows))
    caption = (
        "Scores on the test against the concentration α of the Dirichlet partition (small: clients differ much); "
        f"natural: a client is a person, apart from the axis. Whiskers: {interval(study)}; differences are paired by "
        f"people and seeds; lines are set beside each other for the eye. {sample_sizes(study, rows)}"
        f"{curves.left_out(panels)}"
    )
    return Drawing(figure, caption, csv_rows(rows, metrics, "alpha", "alpha"))


def _panels(rows: list[Result], metrics: list[str], natural: float) -> Panels:
    """Lines over alpha, and after them the natural split as pieces of their own."""
    name, column = name_by_arm(rows), column_by_protocol(rows, "alpha")
    numeric = [row for row in rows if row.x["alpha"] != NATURAL]
    apart = [row for row in rows if row.x["alpha"] == NATURAL]
    panels = panels_of(numeric, metrics, name, column, lambda row: float(row.x["alpha"]))
    for key, lines in panels_of(apart, metrics, name, column, lambda _: natural).items():
        panels.setdefault(key, []).extend(lines)
    return panels


def _scale(axis: Axes, alphas: list[float], natural: bool) -> None:
    axis.set_xscale("log")
    axis.minorticks_off()
    ticks, labels = list(alphas), [f"{value:g}".removeprefix("0") for value in alphas]
    if natural:
        axis.axvline(_APART**0.5 * alphas[-1], color="#bbbbbb", linewidth=0.8, linestyle=":")
        ticks, labels = [*ticks, _APART * alphas[-1]], [*labels, NATURAL]
    axis.set_xticks(ticks, labels, fontsize=6)
