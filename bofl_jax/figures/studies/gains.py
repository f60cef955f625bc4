"""Gain in AUPRC of every arm over the one without balancing, class by class."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Artifact, Drawing, Unavailable
from bofl_jax.figures.studies.lines import interval_name, study_sizes, title_of, unused_generators_note
from bofl_jax.results import Study, StudyRow

METRIC_PREFIX = "auprc_"
_GROUP_WIDTH = 0.8  # of the distance between two arms, covered by bars


def gains(study: Study) -> dict[str, Artifact] | Unavailable:
    """Draw a figure for each protocol: a panel for each class, a bar for each arm and model.

    Arms have no generator, or the dose that most arms have.
    """
    rows = [row for row in study.rows if any(name.startswith(METRIC_PREFIX) for name in row.gains)]
    if not rows:
        return Unavailable("no row has gains in AUPRC")
    by_protocol = {name: [row for row in rows if row.protocol == name] for name in study.protocols}
    return {
        name: _drawing(study, name, rows_of_usual_dose(found), found) for name, found in by_protocol.items() if found
    }


def rows_of_usual_dose(rows: Sequence[StudyRow]) -> list[StudyRow]:
    """Rows without a generator and rows of the most frequent dose; all rows if no dose was written."""
    doses = Counter(row.dose for row in rows if row.generator and math.isfinite(row.dose))
    usual = [dose for dose, _ in doses.most_common(1)]
    return [row for row in rows if not (usual and row.generator) or row.dose in usual]


def _drawing(study: Study, protocol: str, shown: list[StudyRow], rows: Sequence[StudyRow]) -> Drawing:
    others = ", ".join(sorted({one.reference for row in rows for one in row.gains.values()}))
    doses = {row.dose for row in shown if row.generator and math.isfinite(row.dose)}
    dose = f"Synthetic samples at most {100 * min(doses):g} % of a client's own. " if doses else ""
    caption = (
        f"AUPRC of the rare classes on the test under protocol {protocol}, less that of `{others}`, paired by people "
        f"and seeds; the panels differ in scale. {dose}Whiskers: {interval_name(study)}, of the difference. n/a: not "
        f"defined.{unused_generators_note(shown)} {study_sizes(study, shown)}"
        f"{' The CSV file has the other doses too.' if len(shown) < len(rows) else ''}"
    )
    return Drawing(_draw(shown, f"gain over {others}"), caption, _gain_rows(rows))


def _draw(rows: Sequence[StudyRow], label: str) -> Figure:
    metrics = list(dict.fromkeys(name for row in rows for name in row.gains if name.startswith(METRIC_PREFIX)))
    arms, models = (list(dict.fromkeys(getattr(row, part) for row in rows)) for part in ("title", "model"))
    styles = {**{series.label: series for series in style.series_styles(models)}, **style.MODELS}
    height = 0.19 * len(arms) * max(len(models), 1.5) + 0.75
    figure, (axes,) = style.panel_grid(1, len(metrics), style.PAGE_WIDTH, height, sharey=True)
    for axis, metric in zip(axes, metrics, strict=True):
        for index, model in enumerate(models[: style.MAX_SERIES]):
            width = _GROUP_WIDTH / len(models)
            by_arm = {row.title: row for row in rows if row.model == model}
            _bars(
                axis,
                [by_arm.get(arm) for arm in arms],
                metric,
                ((index + 0.5) * width - _GROUP_WIDTH / 2, width),
                styles[model],
            )
        axis.axvline(0, color="black", linewidth=0.6)
        axis.grid(visible=True, axis="x")
        axis.grid(visible=False, axis="y")
        axis.set_title(title_of(metric))
        axis.set_xlabel(label)
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].set_ylim(len(arms) - 0.4, -0.6)
    style.unique_legend(figure, axes)
    return figure


def _bars(
    axis: Axes, rows: Sequence[StudyRow | None], metric: str, position: tuple[float, float], series: style.SeriesStyle
) -> None:
    """Draw one model's bars at ``position`` = (offset, width) within each arm's group."""
    offset, width = position
    found = [row.gains.get(metric) if row else None for row in rows]
    mean, low, high = (
        np.array([getattr(one, part) if one else math.nan for one in found]) for part in ("mean", "low", "high")
    )
    y, known, bounded = np.arange(len(rows)) + offset, np.isfinite(mean), np.isfinite(mean + low + high)
    axis.barh(
        y[known], mean[known], 0.92 * width, color=series.color, hatch=series.hatch, ec="white", label=series.label
    )
    axis.plot(mean[known], y[known], "o", color="black", markersize=1.8, mew=0)
    axis.hlines(y[bounded], low[bounded], high[bounded], color="black", linewidth=0.8)
    for at in y[~known]:
        axis.text(0, at, " n/a", ha="left", va="center", color=style.GREY, fontsize=6)


def _gain_rows(rows: Sequence[StudyRow]) -> list[dict[str, Any]]:
    return [
        {"protocol": row.protocol, "arm": row.arm, "title": row.title, "model": row.model, "generator": row.generator}
        | {"dose (share of own samples)": row.dose, "seeds": row.seeds, "people": row.people}
        | {"metric": name, "gain over": one.reference, "mean": one.mean, "low": one.low, "high": one.high}
        for row in rows
        for name, one in row.gains.items()
        if name.startswith(METRIC_PREFIX)
    ]
