"""Macro-F1 against the labelled minutes that a person gives."""

from bofl_jax.figures import curves
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.studies.lines import (
    available_metrics,
    even_ticks,
    interval_name,
    label_by_arm,
    metric_rows,
    panel_by_protocol,
    rows_with_x,
    study_panels,
    study_sizes,
    with_differences,
)
from bofl_jax.results import Study


def label_scarcity(study: Study) -> Drawing | Unavailable:
    """Draw a line for each arm; minutes are at even distances, since they double."""
    difference, rows = with_differences(rows_with_x(study, "minutes"))
    if not rows:
        return Unavailable("no row has x.minutes")
    minutes = sorted({float(row.x["minutes"]) for row in rows})
    name, column = label_by_arm(rows), panel_by_protocol(rows, "minutes")
    metrics = available_metrics(rows, ("macro_f1", difference))
    if "macro_f1" not in metrics:
        return Unavailable("no row with x.minutes has a macro_f1")
    panels = study_panels(rows, metrics, name, column, lambda row: minutes.index(float(row.x["minutes"])))
    figure = curves.draw_panels(panels, "labelled minutes a person", shape=(1.9, 0.75), signed=(difference,))
    even_ticks(figure.axes, [f"{value:g}" for value in minutes])
    caption = (
        "Macro-F1 on the test against the labelled minutes that a person gives (0: none), at even distances"
        f"{', and differences, paired by people and seeds' if difference else ''}. Whiskers: {interval_name(study)}; "
        "lines "
        f"are set beside each other for the eye. {study_sizes(study, rows)}{curves.omission_note(panels)}"
    )
    return Drawing(figure, caption, metric_rows(rows, metrics, "minutes", "labelled minutes"))
