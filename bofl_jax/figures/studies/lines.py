"""Rows of a study as lines of a figure."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bofl_jax.figures.curves import Curve
from bofl_jax.figures.words import counted, spanned
from bofl_jax.results import Result, Study
from bofl_jax.results.study import Measured

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "macro_f1_nsv": "macro-F1 of N, S, V",
    "worst_10_percent": "worst 10 % of clients",
    "ece": "ECE",
}
_OF_A_CLASS = {
    "recall_at_spec95": "recall of {} at specificity .95",
    "recall": "recall of {}",
    "precision": "precision of {}",
    "f1": "F1 of {}",
    "auroc": "AUROC of {}",
    "auprc": "AUPRC of {}",
}
Name = Callable[[Result], str]
Panels = dict[tuple[str, str], list[Curve]]


def title_of(metric: str) -> str:
    """What a metric is called.

    >>> title_of("macro_f1"), title_of("recall_S"), title_of("recall_at_spec95_S"), title_of("aurc")
    ('macro-F1', 'recall of S', 'recall of S at specificity .95', 'aurc')
    """
    name, _, label = metric.rpartition("_")
    if metric in TITLES:
        return TITLES[metric]
    return _OF_A_CLASS[name].format(label) if name in _OF_A_CLASS else metric.replace("_", " ")


def interval(study: Study) -> str:
    """What the study's intervals are, for a caption."""
    return f"95 % intervals over {study.drawn}"


def with_x(study: Study, x: str) -> list[Result]:
    """The rows that have a place on an axis."""
    return [row for row in study.rows if x in row.x]


def known_metrics(rows: Sequence[Result], wanted: Sequence[str]) -> list[str]:
    """Those of the wanted metrics that any row has."""
    return [metric for metric in wanted if any(metric in row.metrics for row in rows)]


def name_by_arm(rows: Sequence[Result]) -> Name:
    """A row's line: its arm's title, with the model where a title has several."""
    models = Counter(title for title, _ in {(row.title, row.model) for row in rows})
    return lambda row: row.title if models[row.title] == 1 else f"{row.title}, {row.model}"


def column_by_protocol(rows: Sequence[Result], x: str) -> Name:
    """A row's panel: its protocol where protocols share values of x; else all stand in one panel."""
    shared = Counter((row.arm, row.model, row.x[x]) for row in rows)
    return lambda row: row.protocol if max(shared.values()) > 1 else ""


def panels_of(
    rows: Sequence[Result], metrics: Sequence[str], name: Name, column: Name, place: Callable[[Result], float]
) -> Panels:
    """(metric's title, column) -> lines in the order of the rows, each by rising x."""
    found: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for metric in metrics:
        for row in rows:
            if metric in row.metrics:
                found.setdefault((metric, column(row)), {}).setdefault(name(row), []).append(row)
    return {
        (title_of(metric), where): [_curve(label, own, metric, place) for label, own in lines.items()]
        for (metric, where), lines in found.items()
    }


def with_differences(rows: Sequence[Result]) -> tuple[str, list[Result]]:
    """The rows with their differences as one more metric, and its name; "" where no row has a difference.

    Differences in one metric and from one arm, the pair that most rows have.
    """
    kinds = Counter((row.difference.metric, row.difference.other) for row in rows if row.difference)
    if not kinds:
        return "", list(rows)
    kind = kinds.most_common(1)[0][0]
    name = f"{title_of(kind[0])}, less {kind[1]}"

    def extended(row: Result) -> Result:
        found = row.difference
        if found is None or (found.metric, found.other) != kind:
            return row
        return replace(row, metrics={**row.metrics, name: Measured(found.mean, math.nan, found.low, found.high)})

    return name, [extended(row) for row in rows]


def _curve(label: str, rows: Sequence[Result], metric: str, place: Callable[[Result], float]) -> Curve:
    rows = sorted(rows, key=place)
    measured = [row.metrics[metric] for row in rows]
    mean, low, high = (np.array([getattr(one, part) for one in measured]) for part in ("mean", "low", "high"))
    return Curve(label, np.array([place(row) for row in rows], np.float64), mean, low, high)


def even_ticks(axes: Sequence[Axes], labels: Sequence[str]) -> None:
    """Ticks at 0, 1, 2 ..., one for each label."""
    for axis in axes:
        axis.set_xticks(range(len(labels)), labels)
        axis.set_xlim(-0.4, len(labels) - 0.6)


def sample_sizes(study: Study, rows: Sequence[Result]) -> str:
    """Seeds, people, where the numbers come from and what the study says of its protocols, for a caption."""
    seeds = spanned([row.seeds for row in rows], "seed")
    people = spanned([row.people for row in rows], "person", "people")
    source = f"{counted(len(rows), 'row')} of {study.name}, made by `{study.made_by}`."
    return f"{seeds} and {people} a point; {source} {study.note}".rstrip()


def unused(rows: Sequence[Result]) -> str:
    """For a caption: generators none of whose batches was used in any of the rows; "" where there is none."""
    used: dict[str, float] = {}
    for row in rows:
        if row.generator:
            used[row.generator] = used.get(row.generator, 0.0) + row.used
    names = [name for name, count in used.items() if count == 0]
    return f" No batch was used of {', '.join(names)}: the scores are those without." if names else ""


def csv_rows(rows: Sequence[Result], metrics: Sequence[str], x: str = "", x_name: str = "") -> list[dict[str, Any]]:
    """Every row and metric as tidy rows."""
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
