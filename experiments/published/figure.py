"""Draw the figure of FedProx's stragglers from the committed result.

    python -m experiments.published.figure

Upper row: test accuracy over the rounds of data seed 0, by data set. Lower row: the last 20 rounds of every data seed.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bofl_jax.figures.style import RC
from experiments.common.figures import legend_below, wide_figure

HERE = Path(__file__).resolve().parent
SERIES = {
    "FedAvg 90 %": ("FedAvg: stragglers dropped", "#000000", "s", ":"),
    "mu=0 90 %": ("FedProx, $\\mu$ = 0: partial work used", "#0072B2", "o", "-"),
    "mu=1 90 %": ("FedProx, $\\mu$ = 1", "#D55E00", "^", "--"),
}
TITLES = {
    "synthetic(0,0)": "Synthetic(0, 0)",
    "synthetic(.5,.5)": "Synthetic(0.5, 0.5)",
    "synthetic(1,1)": "Synthetic(1, 1)",
    "iid": "IID",
}


def draw(result: dict[str, Any]) -> Figure:
    """Two rows of panels, one column for each data set."""
    figure = wide_figure(3.6)
    axes = figure.subplots(2, len(TITLES), sharey="row")
    for column, (kind, title) in enumerate(TITLES.items()):
        upper, lower = axes[:, column]
        for place, (name, (label, color, marker, dash)) in enumerate(SERIES.items()):
            curve = result["curves_of_seed_0"][kind][name]
            upper.plot(np.arange(1, len(curve) + 1), curve, dash, color=color, label=label, linewidth=1)
            values = result["accuracy"][kind][name]
            lower.plot(place + np.linspace(-0.15, 0.15, len(values)), values, marker, color=color)
            lower.plot([place - 0.25, place + 0.25], [np.mean(values)] * 2, color=color)
        upper.set_title(title)
        upper.set_xlabel("round")
        lower.set_xticks(range(len(SERIES)), ["FedAvg", "$\\mu$ = 0", "$\\mu$ = 1"])
        lower.set_xlim(-0.5, len(SERIES) - 0.5)
    axes[0, 0].set_ylabel("test accuracy, seed 0")
    axes[1, 0].set_ylabel("test accuracy, all seeds")
    figure.suptitle("90 % stragglers", x=0.01, ha="left", fontsize=8)
    legend_below(figure, axes[0, 0])
    return figure


def main() -> None:
    """Write the PNG beside the results."""
    result = json.loads((HERE / "results" / "fedprox.json").read_text())
    with mpl.rc_context(RC):
        draw(result).savefig(HERE / "results" / "fedprox.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
