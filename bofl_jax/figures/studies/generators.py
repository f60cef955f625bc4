"""Scores of generators from the quality gates: usefulness, diversity and privacy of their samples, by class."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Artifact, Drawing, Unavailable
from bofl_jax.figures.captions import format_count_range
from bofl_jax.results import Study
from bofl_jax.results.study import GateScores

SCORES = {
    "discriminative": "discriminative score",
    "utility": "utility ratio",
    "diversity": "diversity ratio",
    "distance": "distance ratio",
    "membership": "membership AUC",
}
GOALS = {"utility": 0.90, "membership": 0.55}
"""Limits that a generator of the paper should reach: the least utility, the highest membership AUC."""

_ERROR = "membership_error"
_NORMAL_QUANTILE = 1.96  # standard errors on each side of a 95 % normal interval
_GROUP_WIDTH = 0.7  # of the distance between two generators, over which the classes spread
_MEANING = (
    "Discriminative: |accuracy - 1/2| of telling real from synthetic samples. Utility: AUROC of a classifier trained "
    "on synthetic samples over one trained on real ones. Diversity: mean distance between synthetic samples over that "
    "between real ones. Distance: 5th percentile of the distance to real samples that the generator saw over unseen "
    "ones. Membership: AUC of telling seen from unseen real samples by their distance to synthetic ones"
)


def generators(study: Study) -> dict[str, Artifact] | Unavailable:
    """Draw a figure for each protocol: a panel for each score, a line for each generator, a dot for each class."""
    known = [one for one in study.gate_scores if any(math.isfinite(one.scores.get(name, math.nan)) for name in SCORES)]
    if not known:
        return Unavailable("the gates judged no generator")
    protocols = dict.fromkeys(one.protocol for one in known)
    return {
        name: _drawing(study, name, [one for one in study.gate_scores if one.protocol == name]) for name in protocols
    }


def _drawing(study: Study, protocol: str, rows: Sequence[GateScores]) -> Drawing:
    names = [name for name in SCORES if any(math.isfinite(one.scores.get(name, math.nan)) for one in rows)]
    goals = " and ".join(f"{SCORES[name]} {GOALS[name]:.2f}" for name in names if name in GOALS)
    caption = (
        f"What the gates measured of every generator by class under protocol {protocol}. {_MEANING}. "
        f"{f'Dashed: goals, {goals}. ' if goals else ''}{_missing_scores_note(rows, names)}"
        f"Whiskers of membership: 95 % normal intervals from the mean standard error of one seed's AUC; the other "
        f"scores have none. Means over {format_count_range([one.seeds for one in rows], 'seed')}; {study.name}, made "
        "by "
        f"`{study.made_by}`."
    )
    return Drawing(_draw(rows, names, _class_styles(study, rows)), caption, _score_rows(rows))


def _class_styles(study: Study, rows: Sequence[GateScores]) -> dict[str, style.SeriesStyle]:
    """Styles of the classes, the same as in the figure of the beats where there is one."""
    known = study.fidelity.classes if study.fidelity else ()
    order = list(dict.fromkeys([*known, *(one.label for one in rows)]))
    present = {one.label for one in rows}
    return {series.label: series for series in style.series_styles(order) if series.label in present}


def _missing_scores_note(rows: Sequence[GateScores], names: Sequence[str]) -> str:
    """A sentence on missing scores; scores that are missing for the same generators are named together."""
    found: dict[str, list[str]] = {}
    for name in names:
        gaps = _missing_scores(rows, name)
        if gaps:
            found.setdefault(gaps, []).append(name)
    missing = "; ".join(f"{', '.join(scores)}: {gaps}" for gaps, scores in found.items())
    return f"Not judged, hence left out ({missing}). " if missing else ""


def _missing_scores(rows: Sequence[GateScores], name: str) -> str:
    missing: dict[str, list[str]] = {}
    for one in rows:
        if not math.isfinite(one.scores.get(name, math.nan)):
            missing.setdefault(one.generator, []).append(one.label)
    return ", ".join(f"{generator} {'/'.join(labels)}" for generator, labels in missing.items())


def _draw(rows: Sequence[GateScores], names: Sequence[str], styles: Mapping[str, style.SeriesStyle]) -> Figure:
    order = list(dict.fromkeys(one.generator for one in rows))
    figure, (axes,) = style.panel_grid(1, len(names), style.PAGE_WIDTH, 0.32 * len(order) + 0.85, sharey=True)
    for axis, name in zip(axes, names, strict=True):
        for index, series in enumerate(styles.values()):
            offset = _GROUP_WIDTH * ((index + 0.5) / len(styles) - 0.5)
            of_class = [one for one in rows if one.label == series.label]
            _draw_scores(
                axis, of_class, name, np.array([order.index(one.generator) for one in of_class]) + offset, series
            )
        if name in GOALS:
            axis.axvline(GOALS[name], color="black", linewidth=0.8, linestyle="--", zorder=1)
        axis.grid(visible=True, axis="x")
        axis.grid(visible=False, axis="y")
        _include_zero(axis)
        axis.set_xlabel(SCORES[name])
        axis.tick_params(axis="y", length=0)
        for between in range(1, len(order)):
            axis.axhline(between - 0.5, color="#dddddd", linewidth=0.5)
    axes[0].set_yticks(range(len(order)), order)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    style.unique_legend(figure, axes)
    return figure


def _draw_scores(axis: Axes, rows: Sequence[GateScores], name: str, y: np.ndarray, series: style.SeriesStyle) -> None:
    value, error = (np.array([one.scores.get(key, math.nan) for one in rows]) for key in (name, _ERROR))
    known = np.isfinite(value)
    axis.plot(value[known], y[known], series.marker, color=series.color, markersize=4, mew=0, label=series.label)
    if name == "membership":
        bounded = known & np.isfinite(error)
        low, high = value - _NORMAL_QUANTILE * error, value + _NORMAL_QUANTILE * error
        axis.hlines(y[bounded], low[bounded], high[bounded], color=series.color, linewidth=0.8)


def _include_zero(axis: Axes) -> None:
    """Extend the axis to zero, with room for markers at its ends."""
    low, high = min(0.0, axis.dataLim.x0), axis.dataLim.x1
    room = 0.08 * (high - low) or 0.1
    axis.set_xlim(low - room, high + room)
    axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _score_rows(rows: Sequence[GateScores]) -> list[dict[str, Any]]:
    """All scores as tidy rows, also those that are not drawn."""
    return [
        {"protocol": one.protocol, "generator": one.generator, "class": one.label, "seeds": one.seeds, **one.scores}
        for one in rows
    ]
