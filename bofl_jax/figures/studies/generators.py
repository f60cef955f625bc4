"""Scores of generators, as the gates measured them: how useful, varied and private their samples of a class are."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bofl_jax.figures import style
from bofl_jax.figures.products import Drawing, Product, Skip
from bofl_jax.figures.words import spanned
from bofl_jax.results import Study
from bofl_jax.results.study import Judged

SCORES = {
    "discriminative": "discriminative score",
    "utility": "utility ratio",
    "diversity": "diversity ratio",
    "distance": "distance ratio",
    "membership": "membership AUC",
}
GOALS = {"utility": 0.90, "membership": 0.55}
"""Least and most that a generator of the paper should reach; a run's gates have limits of their own."""

_ERROR = "membership_error"
_SURE = 1.96  # standard errors on each side of a 95 % normal interval
_SPAN = 0.7  # of the distance between two generators, over which the classes spread
_MEANING = (
    "Discriminative: |accuracy - 1/2| of telling real from synthetic samples. Utility: AUROC of a classifier trained "
    "on synthetic samples over one trained on real ones. Diversity: mean distance between synthetic samples over that "
    "between real ones. Distance: 5th percentile of the distance to real samples that the generator saw over unseen "
    "ones. Membership: AUC of telling seen from unseen real samples by their distance to synthetic ones"
)


def generators(study: Study) -> dict[str, Product] | Skip:
    """A figure a protocol: a panel a score, a line a generator, a dot a class; what was not judged is left out."""
    known = [one for one in study.judged if any(math.isfinite(one.scores.get(name, math.nan)) for name in SCORES)]
    if not known:
        return Skip("the gates judged no generator")
    protocols = dict.fromkeys(one.protocol for one in known)
    return {name: _drawing(study, name, [one for one in study.judged if one.protocol == name]) for name in protocols}


def _drawing(study: Study, protocol: str, rows: Sequence[Judged]) -> Drawing:
    names = [name for name in SCORES if any(math.isfinite(one.scores.get(name, math.nan)) for one in rows)]
    goals = " and ".join(f"{SCORES[name]} {GOALS[name]:.2f}" for name in names if name in GOALS)
    caption = (
        f"What the gates measured of every generator by class under protocol {protocol}. {_MEANING}. "
        f"{f'Dashed: goals, {goals}. ' if goals else ''}{_unjudged(rows, names)}"
        f"Whiskers of membership: 95 % normal intervals from the mean standard error of one seed's AUC; the other "
        f"scores have none. Means over {spanned([one.seeds for one in rows], 'seed')}; {study.name}, made by "
        f"`{study.made_by}`."
    )
    return Drawing(_draw(rows, names, _looks(study, rows)), caption, _numbers(rows))


def _looks(study: Study, rows: Sequence[Judged]) -> dict[str, style.Look]:
    """Of the classes; as in the figure of the beats, where there is one."""
    known = study.fidelity.classes if study.fidelity else ()
    order = list(dict.fromkeys([*known, *(one.label for one in rows)]))
    present = {one.label for one in rows}
    return {look.label: look for look in style.cycle(order) if look.label in present}


def _unjudged(rows: Sequence[Judged], names: Sequence[str]) -> str:
    """A sentence: scores with the same gaps stand together."""
    found: dict[str, list[str]] = {}
    for name in names:
        gaps = _gaps(rows, name)
        if gaps:
            found.setdefault(gaps, []).append(name)
    said = "; ".join(f"{', '.join(own)}: {gaps}" for gaps, own in found.items())
    return f"Not judged, hence left out ({said}). " if said else ""


def _gaps(rows: Sequence[Judged], name: str) -> str:
    missing: dict[str, list[str]] = {}
    for one in rows:
        if not math.isfinite(one.scores.get(name, math.nan)):
            missing.setdefault(one.generator, []).append(one.label)
    return ", ".join(f"{generator} {'/'.join(labels)}" for generator, labels in missing.items())


def _draw(rows: Sequence[Judged], names: Sequence[str], looks: Mapping[str, style.Look]) -> Figure:
    order = list(dict.fromkeys(one.generator for one in rows))
    figure, (axes,) = style.grid(1, len(names), style.PAGE, 0.32 * len(order) + 0.85, sharey=True)
    for axis, name in zip(axes, names, strict=True):
        for place, look in enumerate(looks.values()):
            aside = _SPAN * ((place + 0.5) / len(looks) - 0.5)
            own = [one for one in rows if one.label == look.label]
            _dots(axis, own, name, np.array([order.index(one.generator) for one in own]) + aside, look)
        if name in GOALS:
            axis.axvline(GOALS[name], color="black", linewidth=0.8, linestyle="--", zorder=1)
        axis.grid(visible=True, axis="x")
        axis.grid(visible=False, axis="y")
        _from_zero(axis)
        axis.set_xlabel(SCORES[name])
        axis.tick_params(axis="y", length=0)
        for between in range(1, len(order)):
            axis.axhline(between - 0.5, color="#dddddd", linewidth=0.5)
    axes[0].set_yticks(range(len(order)), order)
    axes[0].set_ylim(len(order) - 0.5, -0.5)
    style.unique_legend(figure, axes)
    return figure


def _dots(axis: Axes, rows: Sequence[Judged], name: str, y: np.ndarray, look: style.Look) -> None:
    value, error = (np.array([one.scores.get(key, math.nan) for one in rows]) for key in (name, _ERROR))
    known = np.isfinite(value)
    axis.plot(value[known], y[known], look.marker, color=look.color, markersize=4, mew=0, label=look.label)
    if name == "membership":
        sure = known & np.isfinite(error)
        low, high = value - _SURE * error, value + _SURE * error
        axis.hlines(y[sure], low[sure], high[sure], color=look.color, linewidth=0.8)


def _from_zero(axis: Axes) -> None:
    """Zero is in sight, and no marker stands on an edge."""
    low, high = min(0.0, axis.dataLim.x0), axis.dataLim.x1
    room = 0.08 * (high - low) or 0.1
    axis.set_xlim(low - room, high + room)
    axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _numbers(rows: Sequence[Judged]) -> list[dict[str, Any]]:
    """Every score, also those that are not drawn."""
    return [
        {"protocol": one.protocol, "generator": one.generator, "class": one.label, "seeds": one.seeds, **one.scores}
        for one in rows
    ]
