"""Costs of the ledger: gas and CPU time of every round."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.results import Rounds, RunResults


def ledger(run: RunResults) -> Drawing | Unavailable:
    """Draw gas above and CPU time below, from zero, with their medians; hashing is a line of its own."""
    rounds = run.rounds
    if run.summary.ledger_mode == "off":
        return Unavailable("ledger off")
    if not np.isfinite([rounds.gas, rounds.cpu_ms]).any(axis=1).all():
        return Unavailable("no round has ledger costs")
    figure, axes = style.stacked_panels(2, 3.4, sharex=True)
    _draw_line(axes[0], rounds.number, rounds.gas, style.LEDGER)
    axes[0].set_title(f"median {_rounded(np.nanmedian(rounds.gas))} gas", fontsize=7, color=style.GREY)
    times = {"transactions": (rounds.cpu_ms, style.LEDGER), "hashing": (rounds.digest_ms, style.HASHING)}
    times = {name: part for name, part in times.items() if np.isfinite(part[0]).any()}
    for name, (values, series) in times.items():
        _draw_line(axes[1], rounds.number, values, series, name)
    medians = ", ".join(f"{name} {_rounded(np.nanmedian(values))} ms" for name, (values, _) in times.items())
    axes[1].set_title(f"median: {medians}", fontsize=7, color=style.GREY)
    axes[0].yaxis.set_major_formatter(EngFormatter(sep=""))
    axes[0].set_ylabel("gas per round")
    axes[1].set_ylabel("CPU time per round (ms)")
    axes[1].set_xlabel(f"round (ledger mode: {run.summary.ledger_mode})")
    style.count_axis(axes[1], len(rounds.number))
    figure.align_ylabels(axes)
    style.unique_legend(figure, axes)
    return Drawing(figure, _caption(run), _rows(rounds))


def _draw_line(axis: Axes, number: np.ndarray, values: np.ndarray, series: style.SeriesStyle, label: str = "") -> None:
    marker = series.marker if len(number) <= 60 else ""
    axis.plot(
        number, values, series.linestyle, color=series.color, marker=marker, markersize=2.5, lw=0.9, label=label or None
    )
    axis.set_ylim(0, max(axis.get_ylim()[1] if len(axis.lines) > 1 else 0, 1.15 * np.nanmax(values, initial=1e-9)))
    axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rows(rounds: Rounds) -> list[dict[str, Any]]:
    columns = (rounds.number, rounds.gas, rounds.cpu_ms, rounds.digest_ms, rounds.seconds)
    names = ("round", "gas", "transactions (CPU ms)", "hashing (CPU ms)", "round (s)")
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _caption(run: RunResults) -> str:
    rounds = run.rounds
    text = (
        f"Cost of the ledger by round, mode {run.summary.ledger_mode}, {len(run.clients.name):,} clients: gas, which "
        "is exact, and CPU time of the ledger's thread (ms), which works while the next round trains"
    )
    share = np.nansum([rounds.cpu_ms, rounds.digest_ms], axis=0) / 1e3 / rounds.seconds
    if np.isfinite(share).any():
        text += f"; its median is {100 * np.nanmedian(share):.2g} % of a round's time"
    return text + ". One run; there are no intervals. Confirmation on a network is not measured."
