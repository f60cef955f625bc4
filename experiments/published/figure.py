"""The figure of FedProx's stragglers, from the committed result.

    python experiments/published/figure.py

Above: test accuracy over the rounds of data seed 0, by data set. Below: the last 20 rounds of every data seed.
"""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bofl_jax.figures import style

HERE = Path(__file__).resolve().parent
LOOKS = {
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


def draw(result: dict) -> Figure:
    """Two rows of a panel a data set."""
    figure = Figure(figsize=(2 * style.WIDTH + 0.2, 3.6))
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(TITLES), sharey="row")
    for column, (kind, title) in enumerate(TITLES.items()):
        above, below = axes[:, column]
        for place, (name, (label, color, marker, dash)) in enumerate(LOOKS.items()):
            curve = result["curves_of_seed_0"][kind][name]
            above.plot(np.arange(1, len(curve) + 1), curve, dash, color=color, label=label, linewidth=1)
            values = result["accuracy"][kind][name]
            below.plot(place + np.linspace(-0.15, 0.15, len(values)), values, marker, color=color)
            below.plot([place - 0.25, place + 0.25], [np.mean(values)] * 2, color=color)
        above.set_title(title)
        above.set_xlabel("round")
        below.set_xticks(range(len(LOOKS)), ["FedAvg", "$\\mu$ = 0", "$\\mu$ = 1"])
        below.set_xlim(-0.5, len(LOOKS) - 0.5)
    axes[0, 0].set_ylabel("test accuracy, seed 0")
    axes[1, 0].set_ylabel("test accuracy, all seeds")
    figure.suptitle("90 % stragglers", x=0.01, ha="left", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def main() -> None:
    """Write the PNG beside the results."""
    result = json.loads((HERE / "results" / "fedprox.json").read_text())
    with mpl.rc_context(style.RC):
        draw(result).savefig(HERE / "results" / "fedprox.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
