"""``sweep.csv`` and ``sweep.npz``: a row for each member of a sweep. No chain vouches for them.

Columns of the table, in this order: ``member``, the keys of the grid, ``status`` ("done", "failed" or "missing"),
``error``, and every value of the members' ``summary.json`` under a dotted name. The arrays are the same columns:
float64[M] with NaN where a member has no number, or text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.results.reading import load_csv, read_file
from bofl_jax.results.rounds import Rounds, read_rounds
from bofl_jax.results.writing import write_arrays, write_csv

SWEEP_FILE, SWEEP_ARRAYS_FILE = "sweep.csv", "sweep.npz"
DONE, FAILED, MISSING = "done", "failed", "missing"
SEED = "seed"
_FIX = "run the sweep again with --resume"


class SweepRow(NamedTuple):
    """One row of ``sweep.csv``, as text."""

    member: str
    point: dict[str, str]  # grid key -> value
    status: str
    error: str  # one line on a member that failed
    values: dict[str, str]  # dotted name in summary.json -> value, "" where a member has none


@dataclass(frozen=True)
class SweepTable:
    """``sweep.csv``: all members of a sweep, complete or not."""

    keys: tuple[str, ...]  # of the grid, the seed among them
    columns: tuple[str, ...]  # dotted names in summary.json
    rows: tuple[SweepRow, ...]


@dataclass(frozen=True)
class SweepMember:
    """One complete run of a sweep."""

    name: str
    point: dict[str, Any]  # grid key -> value, numbers as numbers
    numbers: dict[str, float]  # dotted name in summary.json -> value, only those that are defined
    rounds: Rounds | None  # None where its directory is elsewhere


@dataclass(frozen=True)
class SweepResults:
    """The results of a sweep that figures show."""

    keys: tuple[str, ...]  # of the grid, the seed among them
    members: tuple[SweepMember, ...]  # the complete ones
    incomplete: int  # members that failed or are missing

    @property
    def varied(self) -> tuple[str, ...]:
        """The grid's keys without the seed."""
        return tuple(key for key in self.keys if key != SEED)

    def values(self, key: str) -> list[Any]:
        """The values that a key takes in complete members: numbers rising, words in the grid's order."""
        found = list(dict.fromkeys(member.point[key] for member in self.members))
        return sorted(found) if is_numeric(found) else found


def write_sweep(directory: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of a sweep as CSV and as arrays.

    Args:
        directory: the folder of the sweep.
        rows: the columns of each member; a member may lack those of the summary.
    """
    write_csv(directory / SWEEP_FILE, rows)
    names = dict.fromkeys(name for row in rows for name in row)
    write_arrays(directory / SWEEP_ARRAYS_FILE, {name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: Sequence[Any]) -> np.ndarray:
    """float64[M] with NaN where there is no number; text where any value is text."""
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values])
    return np.array([np.nan if value is None else value for value in values], np.float64)


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all values are numbers, so that they can be an axis.

    >>> is_numeric([0.1, 1]), is_numeric(["fedavg", 1]), is_numeric([True])
    (True, False, False)
    """
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def read_sweep_table(directory: Path) -> SweepTable:
    """Read the table of a sweep.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    return read_file(directory / SWEEP_FILE, _table, _FIX)


def _table(path: Path) -> SweepTable:
    rows = load_csv(path)
    if not rows:
        raise ValueError("it holds no member")
    names = list(rows[0])
    keys, columns = names[1 : names.index("status")], names[names.index("error") + 1 :]
    if names[0] != "member" or not keys:
        raise ValueError("its first columns are not a member and the keys of a grid")
    return SweepTable(
        keys=tuple(keys),
        columns=tuple(columns),
        rows=tuple(
            SweepRow(
                row["member"],
                {key: row[key] for key in keys},
                row["status"],
                row["error"],
                {name: row[name] for name in columns},
            )
            for row in rows
        ),
    )


def read_sweep(directory: Path) -> SweepResults:
    """Read a sweep's table, and the rounds of its complete members.

    Raises:
        BoflError: if a file is missing or damaged, or no member is complete.
    """
    table = read_sweep_table(directory)
    members = [_member(directory, row) for row in table.rows if row.status == DONE]
    if not members:
        raise BoflError(f"no member of {directory} is complete, so nothing can be drawn: {_FIX}")
    return SweepResults(table.keys, tuple(members), len(table.rows) - len(members))


def _member(directory: Path, row: SweepRow) -> SweepMember:
    numbers = {name: value for name, text in row.values.items() if is_numeric([value := _plain(text)])}
    own = directory / row.member
    return SweepMember(
        name=row.member,
        point={key: _plain(text) for key, text in row.point.items()},
        numbers={name: float(value) for name, value in numbers.items()},
        rounds=read_rounds(own) if own.is_dir() else None,
    )


def _plain(text: str) -> Any:
    """A number, or the text itself.

    >>> _plain("0.1"), _plain("fedavg"), _plain("nan")
    (0.1, 'fedavg', 'nan')
    """
    try:
        value = json.loads(text, parse_constant=str)
    except ValueError:
        return text
    return value if is_numeric([value]) else text
