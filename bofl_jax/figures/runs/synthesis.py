"""Outcomes of the clients' requests for synthetic samples, by class."""

from collections import Counter
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import format_count
from bofl_jax.results import RunResults
from bofl_jax.results.requests import Request

OUTCOMES = ("used", "refused by the contract", "failed a gate", "no gain on the client's folds", "not decided")


def synthesis(run: RunResults) -> Drawing | Unavailable:
    """Draw the requested samples as stacked bars, one for each class."""
    if not run.requests:
        return Unavailable("no client asked for synthetic samples")
    found = count_outcomes(run.requests)
    names = [name for name in run.predictions.classes if any(label == name for label, _ in found)]
    gates = Counter(gate for request in run.requests for gate in request.failed if gate != "validation")
    caption = (
        "Synthetic samples that clients asked for, by class and by what became of them. "
        f"{format_count(len(run.requests), 'request')} for "
        f"{format_count(sum(r.amount for r in run.requests), 'sample')} by "
        f"{format_count(len(run.clients.name), 'client')}, of which {sum(r.used for r in run.requests):,} are used. "
    )
    if gates:
        caption += f"Failed gates: {', '.join(f'{gate} {count}' for gate, count in sorted(gates.items()))}. "
    return Drawing(_draw(found, names), caption + "Counts, without intervals; one seed.", _rows(found, names))


def count_outcomes(requests: tuple[Request, ...]) -> dict[tuple[str, str], tuple[int, int]]:
    """Count requests and samples by class and outcome."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for request in requests:
        for outcome, amount in ((_outcome(request), request.amount - request.used), ("used", request.used)):
            if amount:
                count, samples = found.get((request.label, outcome), (0, 0))
                found[request.label, outcome] = count + 1, samples + amount
    return found


def _outcome(request: Request) -> str:
    """The reason why samples of a request are not used."""
    if request.state != "approved":
        return "refused by the contract" if request.state == "rejected" else "not decided"
    return "no gain on the client's folds" if request.failed == ("validation",) else "failed a gate"


def _draw(found: dict[tuple[str, str], tuple[int, int]], names: list[str]) -> Figure:
    figure, (axis,) = style.stacked_panels(1, 1.0 + 0.3 * len(names))
    shown = [outcome for outcome in OUTCOMES if any(key[1] == outcome for key in found)]
    left = np.zeros(len(names))
    for series in style.series_styles(OUTCOMES):
        if series.label in shown:
            width = np.array([found.get((name, series.label), (0, 0))[1] for name in names])
            axis.barh(names, width, left=left, color=series.color, hatch=series.hatch, ec="white", label=series.label)
            left += width
    axis.set_xlabel("synthetic samples asked for")
    axis.set_ylabel("class")
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    style.unique_legend(figure, [axis])
    return figure


def _rows(found: dict[tuple[str, str], tuple[int, int]], names: list[str]) -> list[dict[str, Any]]:
    return [
        {"class": name, "outcome": outcome, "requests": count, "samples": samples}
        for name in names
        for outcome in OUTCOMES
        for count, samples in [found.get((name, outcome), (0, 0))]
    ]
