"""Draw the label-scarcity figure from the committed results.

    python -m experiments.personalisation.figure

Macro-F1 by labelled minutes of a patient: patients who train, and patients on whom nobody trained. Bars are 95 %
intervals over people; methods at the same number of minutes stand side by side so that their bars do not overlap.
"""

import json
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bofl_jax.figures.style import RC
from experiments.common.figures import legend_below, wide_figure
from experiments.personalisation.plan import HERE, PROTOCOLS

SERIES = {
    ("local", "alone"): ("Local only", "#000000", "s", ":"),
    ("fedavg", "global"): ("FedAvg, not adapted", "#999999", "D", ":"),
    ("fedavg", "adapted150"): ("FedAvg + FT 150", "#0072B2", "o", "-"),
    ("perfedavg", "adapted150"): ("PerFedAvg + FT 150", "#D55E00", "^", "--"),
    ("ditto", "adapted150"): ("Ditto 150", "#009E73", "v", "-."),
    ("pfedme", "adapted150"): ("pFedMe 150", "#CC79A7", "P", "--"),
}
"""Row of a table -> label, colour, marker and dash."""
PANELS = {"patients who train": False, "patients whom nobody trained on": True}


def draw(results: dict[str, Any]) -> Figure:
    """One panel for patients who train, and one for unseen patients."""
    figure = wide_figure(2.6)
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for axis, (title, unseen) in zip(axes, PANELS.items(), strict=True):
        names = [name for name, protocol in PROTOCOLS.items() if protocol.unseen == unseen and name in results]
        for place, (row, (label, color, marker, dash)) in enumerate(SERIES.items()):
            found = [one for name in names for one in results[name]["rows"] if (one["method"], one["adapted"]) == row]
            x = [column + 0.08 * (place - (len(SERIES) - 1) / 2) for column in range(len(names))]
            y = [one["macro_f1"] for one in found]
            low, high = zip(*(one["macro_f1_interval"] for one in found), strict=True)
            below, above = ([abs(a - b) for a, b in zip(y, ends, strict=True)] for ends in (low, high))
            axis.errorbar(x, y, (below, above), color=color, marker=marker, ls=dash, elinewidth=0.6, label=label)
        axis.set_xticks(range(len(names)), [str(PROTOCOLS[name].minutes) for name in names])
        axis.set_xlabel("labelled minutes a patient")
        axis.set_title(title)
    axes[0].set_ylabel("macro-F1")
    legend_below(figure, axes[0])
    return figure


def main() -> None:
    """Write the PNG beside the results."""
    results = json.loads((HERE / "results.json").read_text())
    with mpl.rc_context(RC):
        draw(results).savefig(HERE / "label_scarcity.png")


if __name__ == "__main__":
    main()
