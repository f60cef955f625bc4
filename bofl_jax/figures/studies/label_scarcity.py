"""Macro-F1 against the labelled minutes that a person gives."""

from bofl_jax.figures import curves
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.studies.lines import (
    column_by_protocol,
    csv_rows,
    even_ticks,
    interval,
    known_metrics,
    name_by_arm,
    panels_of,
    sample_sizes,
    with_differences,
    with_x,
)
from bofl_jax.results import Study


def label_scarcity(study: Study) -> Drawing | Skip:
    """A line an arm; the minutes stand at even distances, since they double."""
    difference, rows = with_differences(with_x(study, "minutes"))
    if not rows:
        return Skip("no row has x.minutes")
    minutes = sorted({float(row.x["minutes"]) for row in rows})
    name, column = name_by_arm(rows), column_by_protocol(rows, "minutes")
    metrics = known_metrics(rows, ("macro_f1", difference))
    if "macro_f1" not in metrics:
        return Skip("no row with x.minutes has a macro_f1")
    panels = panels_of(rows, metrics, name, column, lambda row: minutes.index(float(row.x["minutes"])))
    figure = curves.draw_panels(panels, "labelled minutes a person", shape=(1.9, 0.75), signed=(difference,))
    even_ticks(figure.axes, [f"{value:g}" for value in minutes])
    caption = (
        "Macro-F1 on the test against the labelled minutes that a person gives (0: none), at even distances"
        f"{', and differences, paired by people and seeds' if difference else ''}. Whiskers: {interval(study)}; lines "
        f"are set beside each other for the eye. {sample_sizes(study, rows)}{curves.left_out(panels)}"
    )
    return Drawing(figure, caption, csv_rows(rows, metrics, "minutes", "labelled minutes"))
