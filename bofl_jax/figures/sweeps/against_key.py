"""Scores against a number of the grid, a line for each combination of the other keys."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from bofl_jax.figures import curves
from bofl_jax.figures.curves import Curve, Panels
from bofl_jax.figures.intervals import over_seeds
from bofl_jax.figures.products import Drawing, Made, Product, Skip
from bofl_jax.figures.sweeps.axes import AXES, REFUSED, Against, is_other
from bofl_jax.figures.sweeps.points import MODELS, grouped, label_of, sample_sizes
from bofl_jax.figures.words import BY_SEED
from bofl_jax.results import Member, Sweep
from bofl_jax.results.sweep import is_numeric


def against(name: str, sweep: Sweep) -> Made:
    """The figure ``name`` of `AXES`; ``scores`` and ``costs`` where it has both."""
    axis = AXES[name]
    key = next((key for key in sweep.varied if axis.fits(key) and is_numeric(sweep.values(key))), None)
    if key is None:
        return Skip("the grid has no such key")
    scores = _drawing(sweep, key, axis, _score_panels(sweep, key, axis.scores))
    if not axis.costs:
        return scores
    parts = {"scores": scores, "costs": _drawing(sweep, key, axis, _cost_panels(sweep, key, axis.costs))}
    return {part: made for part, made in parts.items() if isinstance(made, Drawing)} or scores


def others(sweep: Sweep) -> Made:
    """A figure for every other number of the grid."""
    made: dict[str, Product] = {}
    for key in sweep.varied:
        if is_other(key) and is_numeric(sweep.values(key)):
            axis = Against(is_other, key)
            drawing = _drawing(sweep, key, axis, _score_panels(sweep, key, axis.scores))
            made |= {key: drawing} if isinstance(drawing, Drawing) else {}
    return made or Skip("the grid has no other number")


def _drawing(sweep: Sweep, key: str, axis: Against, panels: Panels) -> Drawing | Skip:
    if not panels:
        return Skip(f"no run has a number to show against {key}")
    places = _places(sweep.values(key), axis)
    figure = curves.draw_panels(_placed(panels, places), axis.label, scores=[*axis.scores.values()])
    _scale(figure, places, axis)
    rest = [other for other in sweep.varied if other != key]
    by = f", a line for each combination of {' and '.join(f'`{other}`' for other in rest)}" if rest else ""
    caption = (
        f"Means over seeds against `{key}`{by}; scores are those of the test. Whiskers: {BY_SEED}; lines are set "
        f"beside each other for the eye. {sample_sizes(sweep)}{curves.left_out(panels)}"
    )
    return Drawing(figure, caption, curves.rows_of(panels, key))


def _places(values: list[float], axis: Against) -> dict[float, float]:
    """Value -> where it stands on the axis."""
    return {value: float(place) if axis.scale == "even" else value for place, value in enumerate(values)}


def _placed(panels: Panels, places: Mapping[float, float]) -> Panels:
    return {
        key: [Curve(one.label, np.array([places[x] for x in one.x]), one.mean, one.low, one.high) for one in panel]
        for key, panel in panels.items()
    }


def _scale(figure: Figure, places: Mapping[float, float], axis: Against) -> None:
    for one in figure.axes:
        if axis.scale == "log" and min(places.values()) > 0:
            one.set_xscale("log")
            one.minorticks_off()
        if len(places) <= 8:
            one.set_xticks([*places.values()], [f"{axis.factor * value:g}" for value in places])
        one.margins(x=0.08)


def _score_panels(sweep: Sweep, key: str, scores: Mapping[str, str]) -> Panels:
    """(score, model) -> lines."""
    models = [model for model in MODELS if any(f"test.{model}.macro_f1" in one.numbers for one in sweep.members)]
    found = {
        (title, model if len(models) > 1 else ""): _lines(sweep, key, f"test.{model}.{name}")
        for name, title in scores.items()
        for model in models
    }
    return {place: lines for place, lines in found.items() if lines}


def _cost_panels(sweep: Sweep, key: str, costs: Mapping[str, str]) -> Panels:
    found = {(title, ""): _lines(sweep, key, name) for name, title in costs.items()}
    return {place: lines for place, lines in found.items() if lines}


def _lines(sweep: Sweep, key: str, name: str) -> list[Curve]:
    rest = [other for other in sweep.varied if other != key]
    found = []
    for values, members in grouped(sweep.members, rest).items():
        by_x = sorted(grouped(members, [key]).items())
        means = [over_seeds([_value(member, name) for member in at]) for _, at in by_x]
        if any(np.isfinite(mean.mean) for mean in means):
            mean, low, high = (np.array([getattr(one, part) for one in means]) for part in ("mean", "low", "high"))
            found.append(Curve(label_of(rest, values), np.array([x for (x,), _ in by_x]), mean, low, high))
    return found


def _value(member: Member, name: str) -> float:
    if name != REFUSED:
        return member.numbers.get(name, np.nan)
    accepted, rejected = (member.numbers.get(f"ledger.{part}", np.nan) for part in ("accepted", "rejected"))
    return rejected / (accepted + rejected) if accepted + rejected > 0 else np.nan
