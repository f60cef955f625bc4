"""Tables of one run: metrics by class, overall metrics, and the numbers of samples."""

from typing import Any

import numpy as np

from bofl_jax.figures.artifacts import Table, Unavailable
from bofl_jax.figures.captions import PERSON_INTERVALS, format_number, format_with_interval, sample_sizes
from bofl_jax.figures.intervals import metric_interval
from bofl_jax.metrics import METRICS, Metric, Place
from bofl_jax.results import RunResults

FAIRNESS = {"mean": "mean", "sd": "sd", "worst_10_percent": "worst 10 %", "jain": "Jain", "gini": "Gini"}
"""Key of ``fairness`` in ``summary.json`` -> title."""


def classes(run: RunResults) -> Table | Unavailable:
    """Tabulate the metrics by class, a row for each class and model."""
    rows = [row for model in run.summary.test for row in _class_rows(run, model)]
    if not rows:
        return Unavailable("no model was evaluated on the test data")
    metrics = METRICS.select(place=Place.TABLES, per_class=True)
    header = ("class", "model", "samples", *(metric.title for metric in metrics))
    rows.sort(key=lambda row: run.predictions.classes.index(row["class"]))
    body = [
        (row["class"], row["model"], f"{row['samples']:,}", *(_class_cell(row, metric) for metric in metrics))
        for row in rows
    ]
    caption = f"Test metrics of each class against all others. In brackets: {PERSON_INTERVALS}. {sample_sizes(run)}"
    return Table(caption, header, body, rows)


def _class_cell(row: dict[str, Any], metric: Metric) -> str:
    if metric.interval is None:
        return format_number(row[metric.key])
    return format_with_interval(*(row[f"{metric.key}{end}"] for end in ("", " low", " high")))


def _class_rows(run: RunResults, model: str) -> list[dict[str, Any]]:
    metrics, count = METRICS.select(place=Place.TABLES, per_class=True), len(run.predictions.classes)
    ends = {m.key: metric_interval(run.predictions, model, m.key, count) for m in metrics if m.interval}
    rows = []
    for index, (name, measured) in enumerate(run.summary.test[model]["per_class"].items()):
        row: dict[str, Any] = {"class": name, "model": model, "samples": measured["support"]}
        for key in (metric.key for metric in metrics):
            row[key] = _number(measured.get(key))
            if key in ends:
                row |= {f"{key} low": ends[key][0][index], f"{key} high": ends[key][1][index]}
        rows.append(row)
    return rows


def summary(run: RunResults) -> Table | Unavailable:
    """Tabulate the overall metrics, a row for each metric, a column for each model."""
    if not run.summary.test:
        return Unavailable("no model was evaluated on the test data")
    rows = [row for model in run.summary.test for row in (*_metric_rows(run, model), *_fairness_rows(run, model))]
    models, names = (list(dict.fromkeys(row[part] for row in rows)) for part in ("model", "quantity"))
    cells = {
        (row["quantity"], row["model"]): format_with_interval(row["value"], row["low"], row["high"]) for row in rows
    }
    body = [(name, *(cells.get((name, model), "") for model in models)) for name in names]
    caption = (
        f"All in all, on the test. In brackets: {PERSON_INTERVALS}; numbers without brackets have none. Client "
        "accuracies: mean, sd (divided by C) and mean of the worst 10 % over clients. "
        f"{sample_sizes(run)}"
    )
    return Table(caption, ("test", *models), body, rows)


def _metric_rows(run: RunResults, model: str) -> list[dict[str, Any]]:
    rows = []
    for metric in METRICS.select(place=Place.TABLES, per_class=False):
        (low,), (high,) = metric_interval(run.predictions, model, metric.key, 1)
        value = _number(run.summary.test[model].get(metric.key))
        rows.append({"model": model, "quantity": metric.title, "value": value, "low": low, "high": high})
    return rows


def _fairness_rows(run: RunResults, model: str) -> list[dict[str, Any]]:
    fairness = run.summary.fairness.get(model, {})
    return [
        {"model": model, "quantity": f"client accuracy, {title}", "value": _number(fairness[key])}
        | {"low": np.nan, "high": np.nan}
        for key, title in FAIRNESS.items()
        if key in fairness
    ]


def data(run: RunResults) -> Table | Unavailable:
    """Tabulate the numbers of samples, a row for each role of the samples, a column for each class."""
    if not run.clients.counts:
        return Unavailable("clients.csv has no class counts")
    rows = []
    for role, by_class in run.clients.counts.items():
        counts = {name: int(np.nansum(values)) for name, values in by_class.items()}
        holders = int(np.sum(np.nansum(list(by_class.values()), axis=0) > 0))
        rows.append({"samples of": role, "clients": holders, "samples": sum(counts.values()), **counts})
    header = tuple(rows[0])
    body = [(str(row["samples of"]), *(f"{row[name]:,}" for name in header[1:])) for row in rows]
    caption = (
        f"Samples by role and class: {len(run.clients.name):,} clients, {_subjects(run)}. The column `clients` counts "
        f"those that hold samples of the role. Counts, without intervals. {sample_sizes(run)}"
    )
    return Table(caption, header, body, rows)


def _subjects(run: RunResults) -> str:
    single = {name for name in run.clients.subject if not name.endswith(" subjects")}
    several = sum(name.endswith(" subjects") for name in run.clients.subject)
    text = f"{len(single)} subjects that are a client's only one"
    return f"{text}, and {several} clients of several subjects each" if several else text


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)
