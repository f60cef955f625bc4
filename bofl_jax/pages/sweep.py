"""What the page of a sweep shows, from ``sweep.csv`` alone."""

from pathlib import Path
from typing import Any

from bofl_jax.pages.fields import number
from bofl_jax.results.files import csv_rows, read

_MEND = "run the sweep again with --resume"

_SHOWN = (
    "test.global.accuracy",
    "test.personalised.accuracy",
    "test.global.macro_f1",
    "test.personalised.macro_f1",
    "fairness.global.worst_10_percent",
    "fairness.personalised.worst_10_percent",
    "ledger.gas_per_round",
)
"""Columns of the table at first; the others follow at the press of a button."""


def describe(directory: Path) -> dict[str, Any]:
    """The data of a sweep's page; `bofl_jax.pages.base.report` says what is raised."""
    return read(directory / "sweep.csv", _sweep, _MEND)


def _sweep(path: Path) -> dict[str, Any]:
    rows = csv_rows(path)
    if not rows:
        raise ValueError("it holds no member")
    names = list(rows[0])
    keys = names[1 : names.index("status")]
    if names[0] != "member" or not keys:
        raise ValueError("its first columns are not a member and the keys of a grid")
    measured = {name: [number(row[name]) for row in rows] for name in names[names.index("error") + 1 :]}
    numeric = [name for name, values in measured.items() if _is_numeric(values)]
    return {
        "kind": "sweep",
        "title": f"Sweep over {', '.join(keys)}",
        "subtitle": f"{len(rows):,} members: {_standing(rows)}",
        "keys": {key: list(dict.fromkeys(row[key] for row in rows)) for key in keys},
        "members": [{name: row[name] for name in ("member", "status", "error", *keys)} for row in rows],
        "measures": numeric,
        "shown": [name for name in _SHOWN if name in numeric],
        "values": {name: measured[name] for name in numeric},
    }


def _standing(rows: list[dict[str, str]]) -> str:
    states = [row["status"] for row in rows]
    return ", ".join(f"{states.count(state):,} {state}" for state in dict.fromkeys(states))


def _is_numeric(values: list[float | str | None]) -> bool:
    return any(value is not None for value in values) and not any(isinstance(value, str) for value in values)
