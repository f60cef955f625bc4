"""Tables of a study: methods with their intervals and tests, and the ablation of the program's three parts."""

import math
from collections.abc import Sequence
from typing import Any

from bofl_jax.figures.products import Product, Skip, Table
from bofl_jax.figures.studies.lines import csv_rows, interval, known_metrics, sample_sizes, title_of
from bofl_jax.figures.words import ranged, rounded
from bofl_jax.results import Result, Study
from bofl_jax.results.study import Difference, Measured

METHODS = (
    "accuracy",
    "recall_S",
    "precision_S",
    "recall_V",
    "precision_V",
    "macro_f1",
    "recall_at_spec95_S",
    "worst_10_percent",
    "ece",
)
ABLATED = ("accuracy", "macro_f1", "recall_S")
FACTORS = ("ledger", "personalisation", "synthesis")


def methods(study: Study) -> dict[str, Product] | Skip:
    """A table a protocol, a row an arm and model."""
    made: dict[str, Product] = {protocol: _methods(study, protocol) for protocol in study.protocols}
    return made or Skip("the study has no rows")


def _methods(study: Study, protocol: str) -> Table:
    rows = [row for row in study.rows if row.protocol == protocol]
    metrics = known_metrics(rows, METHODS)
    placed = [name for name in ("minutes", "alpha", "dose") if len({row.x.get(name) for row in rows}) > 1]
    several = len({(row.title, row.model) for row in rows}) > len({row.title for row in rows})
    compared, differences = _differences(rows)
    header = ("method", *(("model",) if several else ()), *placed, *map(title_of, metrics), *compared)
    body = [
        (
            *(row.title, *((row.model,) if several else ()), *(_plain(row.x.get(name)) for name in placed)),
            *(_cell(row.metrics.get(metric)) for metric in metrics),
            *difference,
        )
        for row, difference in zip(rows, differences, strict=True)
    ]
    caption = f"Methods under protocol {protocol}: mean ± sd over seeds, in brackets {interval(study)}. "
    if compared:
        caption += (
            "Difference: the row less the arm that is named, in the metric that is named, paired; p corrected by "
            "Holm's method over the study's comparisons. "
        )
    numbers = [values | _tested(row) for row in rows for values in csv_rows([row], list(row.metrics))]
    return Table(caption + sample_sizes(study, rows), header, body, numbers)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value or "")


def _cell(measured: Measured | None) -> str:
    if measured is None:
        return ""
    spread = f" ± {rounded(measured.sd)}" if math.isfinite(measured.sd) else ""
    return f"{rounded(measured.mean)}{spread} {ranged(measured.low, measured.high)}".strip()


def _differences(rows: Sequence[Result]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and cells of the differences; metric and other arm stand in the head where all rows share them."""
    found = [row.difference for row in rows]
    metrics = {one.metric for one in found if one}
    others = {one.other for one in found if one}
    if not metrics:
        return (), [() for _ in rows]
    shared = "".join(
        [
            f" in {title_of(min(metrics))}" if len(metrics) == 1 else "",
            f" from {_title(rows, min(others))}" if len(others) == 1 else "",
        ]
    )
    own = [("metric", metrics), ("from", others)]
    header = (f"difference{shared}", *(name for name, values in own if len(values) > 1), "Holm p")
    return header, [_difference(rows, one, len(metrics) > 1, len(others) > 1) for one in found]


def _difference(rows: Sequence[Result], found: Difference | None, metric: bool, other: bool) -> tuple[str, ...]:
    """A row's cells; whether its metric and the other arm have their own."""
    if found is None:
        return ("",) * (2 + metric + other)
    number = f"{found.mean:+.3f} {ranged(found.low, found.high)}".strip()
    named = (*((title_of(found.metric),) if metric else ()), *((_title(rows, found.other),) if other else ()))
    return number, *named, _p(found.p_holm)


def _title(rows: Sequence[Result], arm: str) -> str:
    """What an arm is called, its name where its rows do not agree."""
    titles = {row.title for row in rows if row.arm == arm}
    return titles.pop() if len(titles) == 1 else arm


def _p(value: float) -> str:
    """A p value as it is printed.

    >>> _p(0.0123), _p(0.0001), _p(float("nan"))
    ('0.012', '<0.001', '')
    """
    return "<0.001" if value < 0.001 else rounded(value)


def _tested(row: Result) -> dict[str, Any]:
    found = row.difference
    if found is None:
        return {}
    return {
        "difference from": found.other,
        "difference in": found.metric,
        "difference": found.mean,
        "difference low": found.low,
        "difference high": found.high,
        "p": found.p,
        "Holm p": found.p_holm,
    }


def ablation(study: Study) -> Table | Skip:
    """The eight combinations of ledger, personalisation and synthesis; what the ledger changes is printed exactly."""
    rows = [row for row in study.rows if set(row.factors) >= set(FACTORS)]
    if not rows:
        return Skip("no row has the factors ledger, personalisation and synthesis")
    rows.sort(key=lambda row: (study.protocols.index(row.protocol), *(row.factors[name] for name in reversed(FACTORS))))
    metrics = known_metrics(rows, ABLATED)
    changes = [[_change(rows, row, metric) for metric in metrics] for row in rows]
    several = len({row.protocol for row in rows}) > 1
    header = (*(("protocol",) if several else ()), *FACTORS, *map(title_of, metrics))
    header += tuple(f"{title_of(metric)}, change by ledger" for metric in metrics)
    body = [
        (
            *((row.protocol,) if several else ()),
            *("yes" if row.factors[name] else "no" for name in FACTORS),
            *(_cell(row.metrics.get(metric)) for metric in metrics),
            *map(_exact, change),
        )
        for row, change in zip(rows, changes, strict=True)
    ]
    caption = (
        "What each part does to the scores on the test: every combination of ledger, personalisation and synthetic "
        f"samples. Mean ± sd over seeds, in brackets {interval(study)}. The last columns are the row less the one that "
        f"differs from it in the ledger only, with all digits: 0 is exactly zero. {sample_sizes(study, rows)}"
    )
    return Table(caption, header, body, _numbers(rows, metrics, changes))


def _change(rows: Sequence[Result], row: Result, metric: str) -> float | None:
    """A row's mean less that of the row without a ledger; None for that row itself, or where there is none."""
    wanted = row.factors | {"ledger": False}
    found = [
        other.metrics[metric].mean
        for other in rows
        if other.protocol == row.protocol and other.factors == wanted and metric in other.metrics
    ]
    return row.metrics[metric].mean - found[0] if found and row.factors["ledger"] and metric in row.metrics else None


def _exact(change: float | None) -> str:
    if change is None:
        return ""
    return "0" if change == 0 else repr(change)


def _numbers(
    rows: Sequence[Result], metrics: Sequence[str], changes: Sequence[Sequence[float | None]]
) -> list[dict[str, Any]]:
    return [
        {**row.factors, **values, "change by ledger": by_metric.get(values["metric"])}
        for row, change in zip(rows, changes, strict=True)
        for by_metric in [dict(zip(metrics, change, strict=True))]
        for values in csv_rows([row], metrics)
    ]
