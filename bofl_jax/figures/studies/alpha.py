"""Scores against heterogeneity: the concentration of the Dirichlet partition."""

from matplotlib.axes import Axes

from bofl_jax.figures import curves
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.studies.lines import (
    Panels,
    available_metrics,
    interval_name,
    label_by_arm,
    metric_rows,
    panel_by_protocol,
    rows_with_x,
    study_panels,
    study_sizes,
    with_differences,
)
from bofl_jax.results import Study, StudyRow

NATURAL = "natural"
_NATURAL_FACTOR = 10.0  # the natural split stands at this times the largest alpha


def alpha(study: Study) -> Drawing | Unavailable:
    """Draw scores against alpha on a logarithmic axis; the natural split stands apart, at the right."""
    difference, rows = with_differences(rows_with_x(study, "alpha"))
    alphas = sorted({float(row.x["alpha"]) for row in rows if row.x["alpha"] != NATURAL})
    if not alphas:
        return Unavailable("no row has x.alpha")
    metrics = available_metrics(rows, ("macro_f1", "recall_at_spec95_S", "recall_S"))[:2]
    metrics += available_metrics(rows, (difference,)) if metrics else []
    panels = _panels(rows, metrics, _NATURAL_FACTOR * alphas[-1])
    if not panels:
        return Unavailable("no row with x.alpha has a macro_f1")
    figure = curves.draw_panels(panels, "Dirichlet concentration α", signed=(difference,))
    for axis in figure.axes:
        _scale(axis, alphas, any(row.x["alpha"] == NATURAL for row in rows))
    caption = (
        "Scores on the test against the concentration α of the Dirichlet partition (small: clients differ much); "
        f"natural: a client is a person, apart from the axis. Whiskers: {interval_name(study)}; differences are "
        "paired by "
        f"people and seeds; lines are set beside each other for the eye. {study_sizes(study, rows)}"
        f"{curves.omission_note(panels)}"
    )
    return Drawing(figure, caption, metric_rows(rows, metrics, "alpha", "alpha"))


def _panels(rows: list[StudyRow], metrics: list[str], natural: float) -> Panels:
    """Lines over alpha, followed by the natural split as lines of single points."""
    name, column = label_by_arm(rows), panel_by_protocol(rows, "alpha")
    numeric = [row for row in rows if row.x["alpha"] != NATURAL]
    apart = [row for row in rows if row.x["alpha"] == NATURAL]
    panels = study_panels(numeric, metrics, name, column, lambda row: float(row.x["alpha"]))
    for key, lines in study_panels(apart, metrics, name, column, lambda _: natural).items():
        panels.setdefault(key, []).extend(lines)
    return panels


def _scale(axis: Axes, alphas: list[float], natural: bool) -> None:
    axis.set_xscale("log")
    axis.minorticks_off()
    ticks, labels = list(alphas), [f"{value:g}".removeprefix("0") for value in alphas]
    if natural:
        axis.axvline(_NATURAL_FACTOR**0.5 * alphas[-1], color="#bbbbbb", linewidth=0.8, linestyle=":")
        ticks, labels = [*ticks, _NATURAL_FACTOR * alphas[-1]], [*labels, NATURAL]
    axis.set_xticks(ticks, labels, fontsize=6)
