"""Scores against the dose of synthetic samples."""

from collections import Counter

from matplotlib.figure import Figure

from bofl_jax.figures import curves, style
from bofl_jax.figures.artifacts import Artifact, Drawing, Unavailable
from bofl_jax.figures.studies.lines import (
    RowLabel,
    available_metrics,
    even_ticks,
    interval_name,
    metric_rows,
    rows_with_x,
    study_panels,
    study_sizes,
    title_of,
    unused_generators_note,
)
from bofl_jax.results import Study, StudyRow

_DASHES = (":", (0, (5, 3)), (0, (1, 3)))


def dose(study: Study) -> dict[str, Artifact] | Unavailable:
    """Draw a figure for each protocol that has several doses."""
    all_rows = rows_with_x(study, "dose")
    doses = {
        protocol: {float(row.x["dose"]) for row in all_rows if row.generator and row.protocol == protocol}
        for protocol in study.protocols
    }
    several = [protocol for protocol, found in doses.items() if len(found) > 1]
    if not several:
        return Unavailable("no protocol has several synthetic doses")
    rows_of = {name: [row for row in all_rows if row.protocol == name] for name in several}
    drawings = {name: _protocol_drawing(study, rows, sorted(doses[name])) for name, rows in rows_of.items()}
    return {name: one for name, one in drawings.items() if one} or Unavailable("no row with x.dose has a macro_f1")


def _protocol_drawing(study: Study, all_rows: list[StudyRow], doses: list[float]) -> Drawing | None:
    """Draw a column for each model and a line for each generator; arms without a generator are level lines."""
    rows = [row for row in all_rows if row.generator]
    metrics = available_metrics(rows, ("macro_f1", "recall_S", "precision_S"))
    panels = study_panels(
        rows, metrics, _series_name(rows), lambda row: row.model, lambda row: doses.index(float(row.x["dose"]))
    )
    if not panels:
        return None
    figure = curves.draw_panels(panels, "synthetic samples (% of a client's own)", shape=(1.4, 0.9))
    even_ticks(figure.axes, [f"{100 * value:g}" for value in doses])
    _draw_reference_levels(figure, [row for row in all_rows if not row.generator], list(panels))
    curves.fit_score_axis(figure.axes)
    caption = (
        f"Scores on the test under protocol {rows[0].protocol} against the synthetic samples that a client may add, in "
        "% of its own; doses stand at even distances. Grey level lines have no generator. Whiskers: "
        f"{interval_name(study)}; lines are set beside each other for the eye.{unused_generators_note(rows)} "
        f"{study_sizes(study, all_rows)}"
        f"{curves.omission_note(panels)}"
    )
    return Drawing(figure, caption, metric_rows(all_rows, metrics, "dose", "dose (share of own samples)"))


def _series_name(rows: list[StudyRow]) -> RowLabel:
    """Label rows by generator, or by the arm's title where a generator has several arms."""
    shared = Counter((row.generator, row.model, row.x["dose"]) for row in rows)
    return lambda row: row.generator if max(shared.values()) == 1 else row.title


def _draw_reference_levels(figure: Figure, rows: list[StudyRow], panels: list[tuple[str, str]]) -> None:
    """Draw level lines for arms without a generator, and replace the legend by one with them."""
    titles = list(dict.fromkeys(row.title for row in rows))[: len(_DASHES)]
    columns = list(dict.fromkeys(column for _, column in panels))
    titled = list(dict.fromkeys(title for title, _ in panels))
    for index, axis in enumerate(figure.axes):
        metric, model = titled[index // len(columns)], columns[index % len(columns)]
        for title, dash in zip(titles, _DASHES, strict=False):
            found = [
                row.metrics[name].mean for row in rows for name in row.metrics if _is(row, name, title, metric, model)
            ]
            if found:
                axis.axhline(found[0], color=style.GREY, linewidth=0.9, linestyle=dash, label=title)
    for old in list(figure.legends):
        old.remove()
    style.unique_legend(figure, figure.axes)


def _is(row: StudyRow, name: str, title: str, metric: str, model: str) -> bool:
    return (row.title, title_of(name), row.model) == (title, metric, model)
