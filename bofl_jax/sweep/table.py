"""One table of a whole sweep, made anew from the members' directories: ``sweep.csv`` and ``sweep.npz``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.results.writing import flat, read_json, write_arrays, write_csv
from bofl_jax.runs.directory import RunDirectory
from bofl_jax.sweep.grid import Member

DONE, FAILED, MISSING = "done", "failed", "missing"


def write_table(out: Path, everyone: Sequence[Member], errors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Write a row a member: its point, how it stands, and every number of its summary under a dotted name.

    Args:
        out: the sweep's directory. Members that another machine made count once their directories are copied there.
        everyone: all members of the grid.
        errors: name of a member that failed -> why.

    Returns:
        The rows.
    """
    rows = [_row(out, member, errors.get(member.name, "")) for member in everyone]
    write_csv(out / "sweep.csv", rows)
    names = dict.fromkeys(name for row in rows for name in row)
    write_arrays(out / "sweep.npz", {name: _column(rows, name) for name in names})
    return rows


def _row(out: Path, member: Member, error: str) -> dict[str, Any]:
    directory = RunDirectory(out / member.name)
    head: dict[str, Any] = {"member": member.name, **{key: _plain(value) for key, value in member.point.items()}}
    if error or not directory.complete:
        return head | {"status": FAILED if error else MISSING, "error": error}
    try:
        summary = read_json(directory.path / "summary.json")
    except BoflError as damaged:
        return head | {"status": FAILED, "error": str(damaged)}
    return head | {"status": DONE, "error": ""} | flat(summary)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """float64[members], NaN where there is no number; text where any value is text."""
    values = [row.get(name) for row in rows]
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values])
    return np.array([np.nan if value is None else value for value in values], np.float64)
