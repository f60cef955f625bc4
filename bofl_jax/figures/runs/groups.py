"""Table of one run: recall of groups of people by class, and the equal-opportunity gap."""

from typing import Any

import numpy as np

from bofl_jax.figures.artifacts import Table, Unavailable
from bofl_jax.figures.captions import format_count, format_number, sample_sizes
from bofl_jax.results import RunResults


def groups(run: RunResults) -> Table | Unavailable:
    """Tabulate recalls, a row for each class and model, a column for each group."""
    found = {model: spread["groups"] for model, spread in run.summary.fairness.items() if "groups" in spread}
    if not found:
        return Unavailable("groups of people were not compared")
    first = next(iter(found.values()))
    names = list(first["by_group"])
    rows = [_row(name, model, of) for name in first["equal_opportunity_gap"] for model, of in found.items()]
    header = ("class", "model", *(f"recall, {name}" for name in names), "gap")
    body = [
        (row["class"], row["model"], *(_cell(row, name) for name in names), format_number(row["equal-opportunity gap"]))
        for row in rows
    ]
    return Table(_caption(run, first), header, body, rows)


def _row(name: str, model: str, found: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"class": name, "model": model}
    for group, measured in found["by_group"].items():
        of_class = measured["per_class"][name]
        row |= {f"{group} {of}": of_class[of] for of in ("people", "samples")}
        row[f"{group} recall"] = _number(of_class["recall"])
    return row | {"equal-opportunity gap": _number(found["equal_opportunity_gap"][name])}


def _cell(row: dict[str, Any], group: str) -> str:
    """``0.912 (17 people, 6,045)``: a recall with its numbers of people and samples; "" without samples."""
    if not row[f"{group} samples"]:
        return ""
    people, samples = format_count(row[f"{group} people"], "person", "people"), row[f"{group} samples"]
    return f"{format_number(row[f'{group} recall'])} ({people}, {samples:,})"


def _caption(run: RunResults, found: dict[str, Any]) -> str:
    sides = "; ".join(
        f"{name}: {format_count(of['people'], 'person', 'people')}, {format_count(of['samples'], 'sample')}"
        for name, of in found["by_group"].items()
    )
    left = found["samples_in_no_group"]
    return (
        f"Recall of people grouped by {found['attribute']} on the test; in brackets people (each once, however many "
        "records they have) and samples of the class; gap: the equal-opportunity gap, the largest difference between "
        "the recalls of two groups. No intervals: where a class has few people, the gap is theirs and not the group's. "
        f"{sides}; not counted, since nothing is known of their {found['attribute']}: {format_count(left, 'sample')}. "
        f"{sample_sizes(run)}"
    )


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)
