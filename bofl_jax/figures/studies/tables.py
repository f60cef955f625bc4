"""Tables of a study: methods with intervals and tests, and the ablation of ledger, personalisation and synthesis."""

import math
from collections.abc import Sequence
from typing import Any

from bofl_jax.figures.artifacts import Artifact, Table, Unavailable
from bofl_jax.figures.captions import format_interval, format_number
from bofl_jax.figures.studies.lines import available_metrics, interval_name, metric_rows, study_sizes, title_of
from bofl_jax.results import Study, StudyRow
from bofl_jax.results.study import Difference, Estimate

METHOD_METRICS = (
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
ABLATION_METRICS = ("accuracy", "macro_f1", "recall_S")
FACTORS = ("ledger", "personalisation", "synthesis")


def methods(study: Study) -> dict[str, Artifact] | Unavailable:
    """Tabulate each protocol, with a row for each arm and model."""
    tables: dict[str, Artifact] = {protocol: _methods_table(study, protocol) for protocol in study.protocols}
    return tables or Unavailable("the study has no rows")


def _methods_table(study: Study, protocol: str) -> Table:
    rows = [row for row in study.rows if row.protocol == protocol]
    metrics = available_metrics(rows, METHOD_METRICS)
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
    caption = f"Methods under protocol {protocol}: mean ± sd over seeds, in brackets {interval_name(study)}. "
    if compared:
        caption += (
            "Difference: the row less the arm that is named, in the metric that is named, paired; p corrected by "
            "Holm's method over the study's comparisons. "
        )
    numbers = [values | _difference_columns(row) for row in rows for values in metric_rows([row], list(row.metrics))]
    return Table(caption + study_sizes(study, rows), header, body, numbers)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value or "")


def _cell(measured: Estimate | None) -> str:
    if measured is None:
        return ""
    spread = f" ± {format_number(measured.sd)}" if math.isfinite(measured.sd) else ""
    return f"{format_number(measured.mean)}{spread} {format_interval(measured.low, measured.high)}".strip()


def _differences(rows: Sequence[StudyRow]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and cells of the differences; metric and reference arm are in the header if all rows share them."""
    found = [row.difference for row in rows]
    metrics = {one.metric for one in found if one}
    others = {one.reference for one in found if one}
    if not metrics:
        return (), [() for _ in rows]
    shared = "".join(
        [
            f" in {title_of(min(metrics))}" if len(metrics) == 1 else "",
            f" from {_arm_title(rows, min(others))}" if len(others) == 1 else "",
        ]
    )
    varying = [("metric", metrics), ("from", others)]
    header = (f"difference{shared}", *(name for name, values in varying if len(values) > 1), "Holm p")
    return header, [_difference(rows, one, len(metrics) > 1, len(others) > 1) for one in found]


def _difference(rows: Sequence[StudyRow], found: Difference | None, metric: bool, other: bool) -> tuple[str, ...]:
    """The cells of a row, with cells for the metric and the reference arm if rows differ in them."""
    if found is None:
        return ("",) * (2 + metric + other)
    number = f"{found.mean:+.3f} {format_interval(found.low, found.high)}".strip()
    named = (*((title_of(found.metric),) if metric else ()), *((_arm_title(rows, found.reference),) if other else ()))
    return number, *named, _format_p(found.p_holm)


def _arm_title(rows: Sequence[StudyRow], arm: str) -> str:
    """The title of an arm, or its name where its rows have different titles."""
    titles = {row.title for row in rows if row.arm == arm}
    return titles.pop() if len(titles) == 1 else arm


def _format_p(value: float) -> str:
    """A p-value as tables print it.

    >>> _format_p(0.0123), _format_p(0.0001), _format_p(float("nan"))
    ('0.012', '<0.001', '')
    """
    return "<0.001" if value < 0.001 else format_number(value)


def _difference_columns(row: StudyRow) -> dict[str, Any]:
    found = row.difference
    if found is None:
        return {}
    return {
        "difference from": found.reference,
        "difference in": found.metric,
        "difference": found.mean,
        "difference low": found.low,
        "difference high": found.high,
        "p": found.p,
        "Holm p": found.p_holm,
    }


def ablation(study: Study) -> Table | Unavailable:
    """Tabulate the eight combinations of ledger, personalisation and synthesis; changes by the ledger are exact."""
    rows = [row for row in study.rows if set(row.factors) >= set(FACTORS)]
    if not rows:
        return Unavailable("no row has the factors ledger, personalisation and synthesis")
    rows.sort(key=lambda row: (study.protocols.index(row.protocol), *(row.factors[name] for name in reversed(FACTORS))))
    metrics = available_metrics(rows, ABLATION_METRICS)
    changes = [[_change(rows, row, metric) for metric in metrics] for row in rows]
    several = len({row.protocol for row in rows}) > 1
    header = (*(("protocol",) if several else ()), *FACTORS, *map(title_of, metrics))
    header += tuple(f"{title_of(metric)}, change by ledger" for metric in metrics)
    body = [
        (
            *((row.protocol,) if several else ()),
            *("yes" if row.factors[name] else "no" for name in FACTORS),
            *(_cell(row.metrics.get(metric)) for metric in metrics),
            *map(_format_change, change),
        )
        for row, change in zip(rows, changes, strict=True)
    ]
    caption = (
        "What each part does to the scores on the test: every combination of ledger, personalisation and synthetic "
        f"samples. Mean ± sd over seeds, in brackets {interval_name(study)}. The last columns are the row less the "
        "one that "
        f"differs from it in the ledger only, with all digits: 0 is exactly zero. {study_sizes(study, rows)}"
    )
    return Table(caption, header, body, _ablation_rows(rows, metrics, changes))


def _change(rows: Sequence[StudyRow], row: StudyRow, metric: str) -> float | None:
    """The change of a row's mean from the same row without a ledger; None if there is no such pair."""
    wanted = row.factors | {"ledger": False}
    found = [
        other.metrics[metric].mean
        for other in rows
        if other.protocol == row.protocol and other.factors == wanted and metric in other.metrics
    ]
    return row.metrics[metric].mean - found[0] if found and row.factors["ledger"] and metric in row.metrics else None


def _format_change(change: float | None) -> str:
    if change is None:
        return ""
    return "0" if change == 0 else repr(change)


def _ablation_rows(
    rows: Sequence[StudyRow], metrics: Sequence[str], changes: Sequence[Sequence[float | None]]
) -> list[dict[str, Any]]:
    return [
        {**row.factors, **values, "change by ledger": by_metric.get(values["metric"])}
        for row, change in zip(rows, changes, strict=True)
        for by_metric in [dict(zip(metrics, change, strict=True))]
        for values in metric_rows([row], metrics)
    ]
