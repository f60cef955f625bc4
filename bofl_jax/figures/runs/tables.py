"""Tables of one run: per class, all in all, and what its data are."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bofl_jax.figures import intervals
from bofl_jax.figures.intervals import interval_over_people
from bofl_jax.figures.products import Skip, Table
from bofl_jax.figures.words import BY_SUBJECT, rounded, sizes, with_range
from bofl_jax.results import Run

PER_CLASS = ("recall", "precision", "f1", "specificity")
Quantity = Callable[[np.ndarray], np.ndarray]
_RESAMPLED: dict[str, Quantity] = {
    "recall": intervals.recall,
    "precision": intervals.precision,
    "f1": intervals.f1,
    "accuracy": intervals.accuracy,
    "balanced_accuracy": intervals.balanced_accuracy,
    "macro_f1": intervals.macro_f1,
}
OVERALL = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "macro_f1_nsv": "macro-F1 of N, S, V",
    "auroc_macro": "AUROC, macro",
    "auprc_macro": "AUPRC, macro",
    "ece": "ECE",
    "brier": "Brier score",
}


def classes(run: Run) -> Table | Skip:
    """A row a class and model."""
    rows = [row for model in run.summary.test for row in _class_rows(run, model)]
    if not rows:
        return Skip("no model was evaluated on the test data")
    header = ("class", "model", "samples", "recall", "precision", "F1", "specificity")
    rows.sort(key=lambda row: run.predictions.classes.index(row["class"]))
    body = [
        (
            row["class"],
            row["model"],
            f"{row['samples']:,}",
            *(with_range(*(row[f"{name}{part}"] for part in ("", " low", " high"))) for name in PER_CLASS[:3]),
            rounded(row["specificity"]),
        )
        for row in rows
    ]
    caption = f"Test metrics of each class against all others. In brackets: {BY_SUBJECT}. {sizes(run)}"
    return Table(caption, header, body, rows)


def _class_rows(run: Run, model: str) -> list[dict[str, Any]]:
    rows = []
    ends = {name: _ends(run, model, name, len(run.predictions.classes)) for name in PER_CLASS[:3]}
    for place, (name, measured) in enumerate(run.summary.test[model]["per_class"].items()):
        row: dict[str, Any] = {"class": name, "model": model, "samples": measured["support"]}
        for quantity in PER_CLASS:
            row[quantity] = _number(measured.get(quantity))
            if quantity in ends:
                row |= {f"{quantity} low": ends[quantity][0][place], f"{quantity} high": ends[quantity][1][place]}
        rows.append(row)
    return rows


def _ends(run: Run, model: str, name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a quantity's interval, float64[count] each, NaN where there is none."""
    found = interval_over_people(run.predictions, model, _RESAMPLED[name]) if name in _RESAMPLED else None
    return (np.full(count, np.nan), np.full(count, np.nan)) if found is None else found


def summary(run: Run) -> Table | Skip:
    """A row a number, a column a model."""
    if not run.summary.test:
        return Skip("no model was evaluated on the test data")
    rows = [row for model in run.summary.test for row in (*_overall(run, model), *_fairness(run, model))]
    models, names = (list(dict.fromkeys(row[part] for row in rows)) for part in ("model", "quantity"))
    cells = {(row["quantity"], row["model"]): with_range(row["value"], row["low"], row["high"]) for row in rows}
    body = [(name, *(cells.get((name, model), "") for model in models)) for name in names]
    caption = (
        f"All in all, on the test. In brackets: {BY_SUBJECT}; numbers without brackets have none. Client accuracies: "
        f"mean, sd (divided by C) and mean of the worst 10 % over clients. {sizes(run)}"
    )
    return Table(caption, ("test", *models), body, rows)


def _overall(run: Run, model: str) -> list[dict[str, Any]]:
    rows = []
    for name, title in OVERALL.items():
        low, high = _ends(run, model, name, 1)
        value = _number(run.summary.test[model].get(name))
        rows.append({"model": model, "quantity": title, "value": value, "low": np.min(low), "high": np.max(high)})
    return rows


def _fairness(run: Run, model: str) -> list[dict[str, Any]]:
    given = run.summary.fairness.get(model, {})
    names = {"mean": "mean", "sd": "sd", "worst_10_percent": "worst 10 %", "jain": "Jain", "gini": "Gini"}
    return [
        {"model": model, "quantity": f"client accuracy, {title}", "value": _number(given[name])}
        | {"low": np.nan, "high": np.nan}
        for name, title in names.items()
        if name in given
    ]


def data(run: Run) -> Table | Skip:
    """A row a role of the samples, a column a class."""
    if not run.clients.counts:
        return Skip("clients.csv has no class counts")
    rows = []
    for role, by_class in run.clients.counts.items():
        counts = {name: int(np.nansum(values)) for name, values in by_class.items()}
        held = int(np.sum(np.nansum(list(by_class.values()), axis=0) > 0))
        rows.append({"samples of": role, "clients": held, "samples": sum(counts.values()), **counts})
    header = tuple(rows[0])
    body = [(str(row["samples of"]), *(f"{row[name]:,}" for name in header[1:])) for row in rows]
    caption = (
        f"Samples by role and class: {len(run.clients.name):,} clients, {_subjects(run)}. The column `clients` counts "
        f"those that hold samples of the role. Counts, without intervals. {sizes(run)}"
    )
    return Table(caption, header, body, rows)


def _subjects(run: Run) -> str:
    named = {name for name in run.clients.subject if not name.endswith(" subjects")}
    mixed = sum(name.endswith(" subjects") for name in run.clients.subject)
    text = f"{len(named)} subjects that are a client's only one"
    return f"{text}, and {mixed} clients of several subjects each" if mixed else text


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)
