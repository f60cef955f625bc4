"""The data of a sweep's page, from ``sweep.csv`` alone."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bofl_jax.results.sweep import SweepRow, read_sweep_table

SHOWN_AT_FIRST = (
    "test.global.accuracy",
    "test.personalised.accuracy",
    "test.global.macro_f1",
    "test.personalised.macro_f1",
    "fairness.global.worst_10_percent",
    "fairness.personalised.worst_10_percent",
    "ledger.gas_per_round",
)
"""Columns that the table of members shows at first; a check box shows the others."""


def page_data(directory: Path) -> dict[str, Any]:
    """The data of a sweep's page.

    Args:
        directory: the folder of the sweep.

    Raises:
        BoflError: if ``sweep.csv`` is missing or damaged.
    """
    table = read_sweep_table(directory)
    columns = {name: [parse_number(row.values[name]) for row in table.rows] for name in table.columns}
    measures = {name: values for name, values in columns.items() if _is_numeric(values)}
    return {
        "kind": "sweep",
        "title": f"Sweep over {', '.join(table.keys)}",
        "subtitle": f"{len(table.rows):,} members: {_statuses(table.rows)}",
        "keys": {key: list(dict.fromkeys(row.point[key] for row in table.rows)) for key in table.keys},
        "members": [
            {"member": row.member, "status": row.status, "error": row.error, **row.point} for row in table.rows
        ],
        "measures": list(measures),
        "shown": [name for name in SHOWN_AT_FIRST if name in measures],
        "values": measures,
    }


def parse_number(text: str | None) -> float | str | None:
    """The number in a field of a CSV file, None if the field is empty or not finite, or else the text.

    >>> parse_number("0.5"), parse_number(""), parse_number("nan"), parse_number("fedavg")
    (0.5, None, None, 'fedavg')
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else None


def _statuses(rows: Sequence[SweepRow]) -> str:
    statuses = [row.status for row in rows]
    return ", ".join(f"{statuses.count(status):,} {status}" for status in dict.fromkeys(statuses))


def _is_numeric(values: Sequence[float | str | None]) -> bool:
    return any(value is not None for value in values) and not any(isinstance(value, str) for value in values)
