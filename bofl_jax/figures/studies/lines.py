"""Lines of a figure from the rows of a study."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes

from bofl_jax.figures.captions import format_count, format_count_range
from bofl_jax.figures.curves import CurveSeries
from bofl_jax.metrics import METRICS
from bofl_jax.results import Study, StudyRow
from bofl_jax.results.study import Estimate

_TITLES = {"worst_10_percent": "worst 10 % of clients"}
_CLASS_TITLES = {
    "recall_at_spec95": "recall of {} at specificity .95",
    "auroc": "AUROC of {}",
    "auprc": "AUPRC of {}",
}
"""Titles of numbers that studies have beside the registered metrics."""


class RowLabel(Protocol):
    """A text for a row of a study."""

    def __call__(self, row: StudyRow, /) -> str:
        """The label of the row."""
        ...


class RowPosition(Protocol):
    """A position on the x axis for a row of a study."""

    def __call__(self, row: StudyRow, /) -> float:
        """The row's x."""
        ...


Panels = dict[tuple[str, str], list[CurveSeries]]


def title_of(metric: str) -> str:
    """The title of a metric of a study, whose key ends in a class for a metric per class.

    >>> title_of("macro_f1"), title_of("recall_S"), title_of("recall_at_spec95_S"), title_of("own_number")
    ('macro-F1', 'recall of S', 'recall of S at specificity .95', 'own number')
    """
    name, _, label = metric.rpartition("_")
    if metric in METRICS:
        return METRICS[metric].title
    if name in METRICS and METRICS[name].per_class:
        return f"{METRICS[name].title} of {label}"
    if name in _CLASS_TITLES:
        return _CLASS_TITLES[name].format(label)
    return _TITLES.get(metric, metric.replace("_", " "))


def interval_name(study: Study) -> str:
    """The name of the study's intervals, for a caption."""
    return f"95 % intervals over {study.resampled}"


def rows_with_x(study: Study, x: str) -> list[StudyRow]:
    """The rows that have a value on an axis.

    Args:
        study: the study.
        x: name of the axis.
    """
    return [row for row in study.rows if x in row.x]


def available_metrics(rows: Sequence[StudyRow], wanted: Sequence[str]) -> list[str]:
    """Those of the wanted metrics that any row has.

    Args:
        rows: of the study.
        wanted: keys of metrics.
    """
    return [metric for metric in wanted if any(metric in row.metrics for row in rows)]


def label_by_arm(rows: Sequence[StudyRow]) -> RowLabel:
    """Label rows by the title of their arm, with the model where a title has several models."""
    models = Counter(title for title, _ in {(row.title, row.model) for row in rows})
    return lambda row: row.title if models[row.title] == 1 else f"{row.title}, {row.model}"


def panel_by_protocol(rows: Sequence[StudyRow], x: str) -> RowLabel:
    """Label rows by protocol, as panels, where protocols share values of x; otherwise there is one panel.

    Args:
        rows: of the study.
        x: name of the axis.
    """
    shared = Counter((row.arm, row.model, row.x[x]) for row in rows)
    return lambda row: row.protocol if max(shared.values()) > 1 else ""


def study_panels(
    rows: Sequence[StudyRow],
    metrics: Sequence[str],
    label: RowLabel,
    column: RowLabel,
    position: RowPosition,
) -> Panels:
    """Arrange the rows of a study as lines in panels.

    Args:
        rows: of the study.
        metrics: keys, one for each row of panels.
        label: the line of each row.
        column: the column of panels of each row.
        position: x of each row.

    Returns:
        (title of the metric, column) -> lines in the order of the rows, each by rising x.
    """
    found: dict[tuple[str, str], dict[str, list[StudyRow]]] = {}
    for metric in metrics:
        for row in rows:
            if metric in row.metrics:
                found.setdefault((metric, column(row)), {}).setdefault(label(row), []).append(row)
    return {
        (title_of(metric), panel): [_curve(name, own, metric, position) for name, own in lines.items()]
        for (metric, panel), lines in found.items()
    }


def with_differences(rows: Sequence[StudyRow]) -> tuple[str, list[StudyRow]]:
    """Add the differences of the rows as one more metric.

    Only the differences in one metric and from one arm are added, the pair that most rows have.

    Returns:
        The name of the new metric, "" if no row has a difference, and the rows.
    """
    kinds = Counter((row.difference.metric, row.difference.reference) for row in rows if row.difference)
    if not kinds:
        return "", list(rows)
    kind = kinds.most_common(1)[0][0]
    name = f"{title_of(kind[0])}, less {kind[1]}"

    def extended(row: StudyRow) -> StudyRow:
        found = row.difference
        if found is None or (found.metric, found.reference) != kind:
            return row
        return replace(row, metrics={**row.metrics, name: Estimate(found.mean, math.nan, found.low, found.high)})

    return name, [extended(row) for row in rows]


def _curve(label: str, rows: Sequence[StudyRow], metric: str, position: RowPosition) -> CurveSeries:
    rows = sorted(rows, key=position)
    measured = [row.metrics[metric] for row in rows]
    mean, low, high = (np.array([getattr(one, part) for one in measured]) for part in ("mean", "low", "high"))
    return CurveSeries(label, np.array([position(row) for row in rows], np.float64), mean, low, high)


def even_ticks(axes: Sequence[Axes], labels: Sequence[str]) -> None:
    """Set ticks at 0, 1, 2 ..., one for each label.

    Args:
        axes: to change.
        labels: of the ticks.
    """
    for axis in axes:
        axis.set_xticks(range(len(labels)), labels)
        axis.set_xlim(-0.4, len(labels) - 0.6)


def study_sizes(study: Study, rows: Sequence[StudyRow]) -> str:
    """Numbers of seeds and people, the source of the numbers and the study's note, for a caption.

    Args:
        study: the study.
        rows: that the figure shows.
    """
    seeds = format_count_range([row.seeds for row in rows], "seed")
    people = format_count_range([row.people for row in rows], "person", "people")
    source = f"{format_count(len(rows), 'row')} of {study.name}, made by `{study.made_by}`."
    return f"{seeds} and {people} a point; {source} {study.note}".rstrip()


def unused_generators_note(rows: Sequence[StudyRow]) -> str:
    """A sentence for a caption on generators without any used batch; "" if there is none."""
    used: dict[str, float] = {}
    for row in rows:
        if row.generator:
            used[row.generator] = used.get(row.generator, 0.0) + row.used
    names = [name for name, count in used.items() if count == 0]
    return f" No batch was used of {', '.join(names)}: the scores are those without." if names else ""


def metric_rows(
    rows: Sequence[StudyRow], metrics: Sequence[str], x: str = "", x_name: str = ""
) -> list[dict[str, Any]]:
    """Every row and metric as tidy rows.

    Args:
        rows: of the study.
        metrics: keys.
        x: name of an axis, "" for none.
        x_name: column of x.
    """
    return [
        {"protocol": row.protocol, "arm": row.arm, "title": row.title, "model": row.model}
        | ({"generator": row.generator} if row.generator else {})
        | ({x_name: row.x[x]} if x else {})
        | {"seeds": row.seeds, "people": row.people, "metric": metric}
        | {name: getattr(row.metrics[metric], name) for name in ("mean", "sd", "low", "high")}
        for row in rows
        for metric in metrics
        if metric in row.metrics
    ]
