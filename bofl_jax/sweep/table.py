"""The table of a sweep, made from the directories of its members: ``sweep.csv`` and ``sweep.npz``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bofl_jax.core.errors import BoflError
from bofl_jax.results.records import flatten
from bofl_jax.results.summary import is_complete, read_summary_record
from bofl_jax.results.sweep import DONE, FAILED, MISSING, write_sweep
from bofl_jax.sweep.grid import Member


def write_table(out: Path, members: Sequence[Member], errors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Write one row for each member: its point, its status, and the values of its summary under dotted names.

    Args:
        out: folder of the sweep. Members of other machines are included once their directories are copied there.
        members: all members of the grid.
        errors: name of a member that failed -> its error.

    Returns:
        The rows.
    """
    rows = [_row(out, member, errors.get(member.name, "")) for member in members]
    write_sweep(out, rows)
    return rows


def _row(out: Path, member: Member, error: str) -> dict[str, Any]:
    directory = out / member.name
    row: dict[str, Any] = {"member": member.name, **{key: _plain(value) for key, value in member.point.items()}}
    if error or not is_complete(directory):
        return row | {"status": FAILED if error else MISSING, "error": error}
    try:
        summary = read_summary_record(directory)
    except BoflError as damage:
        return row | {"status": FAILED, "error": str(damage)}
    return row | {"status": DONE, "error": ""} | flatten(summary)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else json.dumps(value)
