"""Scores against a number of the grid, a line for each combination of the other keys."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from bofl_jax.figures import curves
from bofl_jax.figures.artifacts import Artifact, BuilderResult, Drawing, Unavailable
from bofl_jax.figures.captions import SEED_INTERVALS
from bofl_jax.figures.curves import CurveSeries, Panels
from bofl_jax.figures.sweeps.axes import AXES, REJECTED_SHARE, SweepAxis, has_no_figure
from bofl_jax.figures.sweeps.points import group_members, point_label, sweep_sizes
from bofl_jax.metrics import mean_over_seeds
from bofl_jax.results import SweepMember, SweepResults
from bofl_jax.results.predictions import MODELS
from bofl_jax.results.sweep import is_numeric


def scores_against(name: str, sweep: SweepResults) -> BuilderResult:
    """Draw scores against the key of an axis, and costs in a second figure where the axis has costs.

    Args:
        name: of the axis in `AXES`.
        sweep: the results.
    """
    axis = AXES[name]
    key = next((key for key in sweep.varied if axis.accepts(key) and is_numeric(sweep.values(key))), None)
    if key is None:
        return Unavailable("the grid has no such key")
    scores = _drawing(sweep, key, axis, _score_panels(sweep, key, axis.scores))
    if not axis.costs:
        return scores
    parts = {"scores": scores, "costs": _drawing(sweep, key, axis, _cost_panels(sweep, key, axis.costs))}
    return {part: drawing for part, drawing in parts.items() if isinstance(drawing, Drawing)} or scores


def scores_against_other_keys(sweep: SweepResults) -> BuilderResult:
    """Draw a figure for every numeric key of the grid that has no figure of its own."""
    drawings: dict[str, Artifact] = {}
    for key in sweep.varied:
        if has_no_figure(key) and is_numeric(sweep.values(key)):
            axis = SweepAxis(has_no_figure, key)
            drawing = _drawing(sweep, key, axis, _score_panels(sweep, key, axis.scores))
            drawings |= {key: drawing} if isinstance(drawing, Drawing) else {}
    return drawings or Unavailable("the grid has no other number")


def _drawing(sweep: SweepResults, key: str, axis: SweepAxis, panels: Panels) -> Drawing | Unavailable:
    if not panels:
        return Unavailable(f"no run has a number to show against {key}")
    positions = _positions(sweep.values(key), axis)
    figure = curves.draw_panels(_positioned(panels, positions), axis.label, scores=[*axis.scores.values()])
    _scale(figure, positions, axis)
    rest = [other for other in sweep.varied if other != key]
    by = f", a line for each combination of {' and '.join(f'`{other}`' for other in rest)}" if rest else ""
    caption = (
        f"Means over seeds against `{key}`{by}; scores are those of the test. Whiskers: {SEED_INTERVALS}; lines are "
        f"set beside each other for the eye. {sweep_sizes(sweep)}{curves.omission_note(panels)}"
    )
    return Drawing(figure, caption, curves.panel_rows(panels, key))


def _positions(values: list[float], axis: SweepAxis) -> dict[float, float]:
    """Value -> its position on the axis."""
    return {value: float(index) if axis.scale == "even" else value for index, value in enumerate(values)}


def _positioned(panels: Panels, positions: Mapping[float, float]) -> Panels:
    return {
        key: [
            CurveSeries(one.label, np.array([positions[x] for x in one.x]), one.mean, one.low, one.high)
            for one in panel
        ]
        for key, panel in panels.items()
    }


def _scale(figure: Figure, positions: Mapping[float, float], axis: SweepAxis) -> None:
    for one in figure.axes:
        if axis.scale == "log" and min(positions.values()) > 0:
            one.set_xscale("log")
            one.minorticks_off()
        if len(positions) <= 8:
            one.set_xticks([*positions.values()], [f"{axis.factor * value:g}" for value in positions])
        one.margins(x=0.08)


def _score_panels(sweep: SweepResults, key: str, scores: Mapping[str, str]) -> Panels:
    """(score, model) -> lines."""
    models = [model for model in MODELS if any(f"test.{model}.macro_f1" in one.numbers for one in sweep.members)]
    found = {
        (title, model if len(models) > 1 else ""): _lines(sweep, key, f"test.{model}.{name}")
        for name, title in scores.items()
        for model in models
    }
    return {panel: lines for panel, lines in found.items() if lines}


def _cost_panels(sweep: SweepResults, key: str, costs: Mapping[str, str]) -> Panels:
    found = {(title, ""): _lines(sweep, key, name) for name, title in costs.items()}
    return {panel: lines for panel, lines in found.items() if lines}


def _lines(sweep: SweepResults, key: str, name: str) -> list[CurveSeries]:
    rest = [other for other in sweep.varied if other != key]
    found = []
    for values, members in group_members(sweep.members, rest).items():
        by_x = sorted(group_members(members, [key]).items())
        means = [mean_over_seeds([_value(member, name) for member in at]) for _, at in by_x]
        if any(np.isfinite(mean.mean) for mean in means):
            mean, low, high = (np.array([getattr(one, part) for one in means]) for part in ("mean", "low", "high"))
            found.append(CurveSeries(point_label(rest, values), np.array([x for (x,), _ in by_x]), mean, low, high))
    return found


def _value(member: SweepMember, name: str) -> float:
    if name != REJECTED_SHARE:
        return member.numbers.get(name, np.nan)
    accepted, rejected = (member.numbers.get(f"ledger.{part}", np.nan) for part in ("accepted", "rejected"))
    return rejected / (accepted + rejected) if accepted + rejected > 0 else np.nan
