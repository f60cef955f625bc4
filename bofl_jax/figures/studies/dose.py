"""Scores against the dose of synthetic samples."""

from collections import Counter

from matplotlib.figure import Figure

from bofl_jax.figures import curves, style
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.reading import Result, Study
from bofl_jax.figures.studies.lines import (
    Name,
    csv_rows,
    even_ticks,
    interval,
    known_metrics,
    panels_of,
    sample_sizes,
    title_of,
    with_x,
)

_DASHES = (":", (0, (5, 3)), (0, (1, 3)))


def dose(study: Study) -> Drawing | Skip:
    """A column a model, a line a generator; what has no generator is a level line."""
    everyone = with_x(study, "dose")
    rows = [row for row in everyone if row.generator]
    if not rows:
        return Skip("no synthetic doses here")
    doses = sorted({float(row.x["dose"]) for row in rows})
    metrics = known_metrics(rows, ("macro_f1", "recall_S", "precision_S"))
    panels = panels_of(rows, metrics, _name(rows), lambda row: row.model, lambda row: doses.index(float(row.x["dose"])))
    if not panels:
        return Skip("no row with x.dose has a macro_f1")
    figure = curves.draw_panels(panels, "synthetic samples (% of a client's own)", shape=(1.4, 0.9))
    even_ticks(figure.axes, [f"{100 * value:g}" for value in doses])
    _levels(figure, [row for row in everyone if not row.generator], list(panels))
    curves.score_axis(figure.axes)
    caption = (
        "Scores on the test against the synthetic samples that a client may add, in % of its own; doses stand at even "
        f"distances. Grey level lines have no generator. Whiskers: {interval(study)}; lines are set beside each other "
        f"for the eye. {sample_sizes(study, everyone)}{curves.left_out(panels)}"
    )
    return Drawing(figure, caption, csv_rows(everyone, metrics, "dose", "dose (share of own samples)"))


def _name(rows: list[Result]) -> Name:
    """A row's line: its generator, or the arm's title where one has several arms; the protocol if there are several."""
    shared = Counter((row.protocol, row.generator, row.model, row.x["dose"]) for row in rows)
    several = len({row.protocol for row in rows}) > 1

    def name(row: Result) -> str:
        label = row.generator if max(shared.values()) == 1 else row.title
        return f"{label}, {row.protocol}" if several else label

    return name


def _levels(figure: Figure, rows: list[Result], panels: list[tuple[str, str]]) -> None:
    """Level lines for arms without a generator, and the legend anew with them."""
    titles = list(dict.fromkeys(row.title for row in rows))[: len(_DASHES)]
    columns = list(dict.fromkeys(column for _, column in panels))
    titled = list(dict.fromkeys(title for title, _ in panels))
    for place, axis in enumerate(figure.axes):
        metric, model = titled[place // len(columns)], columns[place % len(columns)]
        for title, dash in zip(titles, _DASHES, strict=False):
            found = [
                row.metrics[name].mean for row in rows for name in row.metrics if _is(row, name, title, metric, model)
            ]
            if found:
                axis.axhline(found[0], color=style.GREY, linewidth=0.9, linestyle=dash, label=title)
    for old in list(figure.legends):
        old.remove()
    style.unique_legend(figure, figure.axes)


def _is(row: Result, name: str, title: str, metric: str, model: str) -> bool:
    return (row.title, title_of(name), row.model) == (title, metric, model)
