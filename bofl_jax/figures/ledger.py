"""What the ledger costs: gas and processor time of every round."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from bofl_jax.figures import style
from bofl_jax.figures.reading import Run
from bofl_jax.figures.skip import Skip


def ledger(run: Run) -> Figure | Skip:
    """Gas above, CPU milliseconds below, both from zero, with their medians."""
    if run.summary.ledger_mode == "off":
        return Skip("ledger off")
    if not np.isfinite([run.rounds.gas, run.rounds.cpu_ms]).any(axis=1).all():
        return Skip("no round has ledger costs")
    figure, axes = style.panels(2, 3.2, sharex=True)
    number = run.rounds.number
    for axis, values, unit in zip(axes, (run.rounds.gas, run.rounds.cpu_ms), ("gas", "ms"), strict=True):
        marker = style.LEDGER.marker if len(number) <= 60 else ""
        axis.plot(number, values, color=style.LEDGER.color, marker=marker, markersize=2.5, linewidth=0.9)
        axis.set_ylim(0, 1.15 * np.nanmax(values, initial=1e-9))
        axis.set_title(f"median {_rounded(np.nanmedian(values))} {unit}", fontsize=7, color=style.GREY)
        axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes[0].yaxis.set_major_formatter(EngFormatter(sep=""))
    axes[0].set_ylabel("gas per round")
    axes[1].set_ylabel("CPU time per round (ms)")
    axes[1].set_xlabel(f"round (ledger mode: {run.summary.ledger_mode})")
    style.count_axis(axes[1], len(number))
    figure.align_ylabels(axes)
    return figure


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
