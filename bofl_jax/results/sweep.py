"""Typed reading of a sweep's directory: ``sweep.csv``, and the rounds of its members."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bofl_jax.core.errors import BoflError
from bofl_jax.results.files import csv_rows, read
from bofl_jax.results.run import Rounds, read_rounds

SEED = "seed"
_MEND = "run the sweep again with --resume"


@dataclass(frozen=True)
class Member:
    """One complete run of a sweep."""

    name: str
    point: dict[str, Any]  # grid key -> value, numbers as numbers
    numbers: dict[str, float]  # dotted name in summary.json -> value, only those that are defined
    rounds: Rounds | None  # None where its directory is elsewhere


@dataclass(frozen=True)
class Sweep:
    """Everything that the figures of a sweep are drawn from."""

    keys: tuple[str, ...]  # of the grid, the seed among them
    members: tuple[Member, ...]  # the complete ones
    incomplete: int  # members that failed or are missing

    @property
    def varied(self) -> tuple[str, ...]:
        """The grid's keys without the seed."""
        return tuple(key for key in self.keys if key != SEED)

    def values(self, key: str) -> list[Any]:
        """The values that a key takes in complete members: numbers rising, words in the grid's order."""
        found = list(dict.fromkeys(member.point[key] for member in self.members))
        return sorted(found) if is_numeric(found) else found


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all of these are numbers, so that they can be an axis.

    >>> is_numeric([0.1, 1]), is_numeric(["fedavg", 1]), is_numeric([True])
    (True, False, False)
    """
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def read_sweep(folder: Path) -> Sweep:
    """Read and check a sweep's table, and the rounds of its complete members.

    Raises:
        BoflError: one line that names the file that is missing or damaged, and the mend.
    """
    sweep = read(folder / "sweep.csv", _sweep, _MEND)
    if not sweep.members:
        raise BoflError(f"no member of {folder} is complete, so nothing can be drawn: {_MEND}")
    return sweep


def _sweep(path: Path) -> Sweep:
    rows = csv_rows(path)
    columns = list(rows[0])
    keys = tuple(columns[columns.index("member") + 1 : columns.index("status")])
    members = [_member(path.parent, row, keys) for row in rows if row["status"] == "done"]
    return Sweep(keys, tuple(members), len(rows) - len(members))


def _member(folder: Path, row: dict[str, str], keys: tuple[str, ...]) -> Member:
    rest = {name: text for name, text in row.items() if name not in (*keys, "member", "status", "error")}
    numbers = {name: value for name, text in rest.items() if is_numeric([value := _plain(text)])}
    own = folder / row["member"]
    return Member(
        name=row["member"],
        point={key: _plain(row[key]) for key in keys},
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
