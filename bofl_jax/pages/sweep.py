"""The data of a sweep's page, from ``sweep.csv`` alone."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bofl_jax.metrics import METRICS, Metric, Place
from bofl_jax.results.predictions import MODELS
from bofl_jax.results.sweep import SweepRow, read_sweep_table

_SHOWN_AFTER_METRICS = (*(f"fairness.{model}.worst_10_percent" for model in MODELS), "ledger.gas_per_round")


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
        "shown": [*_metric_columns(measures), *(name for name in _SHOWN_AFTER_METRICS if name in measures)],
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


def _metric_columns(measures: Collection[str]) -> list[str]:
    """The metrics that the table of members shows at first; a check box shows the other columns."""
    metrics = METRICS.select(place=Place.SWEEP_PAGE)
    return [name for metric in metrics for model in MODELS for name in measures if _is_metric(name, model, metric)]


def _is_metric(name: str, model: str, metric: Metric) -> bool:
    if metric.per_class:
        return name.startswith(f"test.{model}.per_class.") and name.endswith(f".{metric.key}")
    return name == f"test.{model}.{metric.key}"


def _statuses(rows: Sequence[SweepRow]) -> str:
    statuses = [row.status for row in rows]
    return ", ".join(f"{statuses.count(status):,} {status}" for status in dict.fromkeys(statuses))


def _is_numeric(values: Sequence[float | str | None]) -> bool:
    return any(value is not None for value in values) and not any(isinstance(value, str) for value in values)
