"""The label-scarcity figure, from the committed results.

    python experiments/personalisation/figure.py

Macro-F1 by labelled minutes a patient: patients who train, and patients whom nobody trained on. Bars are 95 % intervals
over people; methods are set side by side for the eye.
"""

import json

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from plan import HERE, PROTOCOLS

from bofl_jax.figures import style

LOOKS = {
    ("local", "alone"): ("Local only", "#000000", "s", ":"),
    ("fedavg", "global"): ("FedAvg, not adapted", "#999999", "D", ":"),
    ("fedavg", "adapted150"): ("FedAvg + FT 150", "#0072B2", "o", "-"),
    ("perfedavg", "adapted150"): ("PerFedAvg + FT 150", "#D55E00", "^", "--"),
    ("ditto", "adapted150"): ("Ditto 150", "#009E73", "v", "-."),
    ("pfedme", "adapted150"): ("pFedMe 150", "#CC79A7", "P", "--"),
}
PANELS = {"patients who train": False, "patients whom nobody trained on": True}


def draw(results: dict) -> Figure:
    """A panel a kind of patient."""
    figure = Figure(figsize=(2 * style.WIDTH + 0.2, 2.6))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for axis, (title, unseen) in zip(axes, PANELS.items(), strict=True):
        names = [name for name, protocol in PROTOCOLS.items() if protocol.unseen == unseen and name in results]
        for place, (row, (label, color, marker, dash)) in enumerate(LOOKS.items()):
            found = [one for name in names for one in results[name]["rows"] if (one["method"], one["adapted"]) == row]
            x = [column + 0.08 * (place - (len(LOOKS) - 1) / 2) for column in range(len(names))]
            y = [one["macro_f1"] for one in found]
            low, high = zip(*(one["macro_f1_interval"] for one in found), strict=True)
            below, above = ([abs(a - b) for a, b in zip(y, ends, strict=True)] for ends in (low, high))
            axis.errorbar(x, y, (below, above), color=color, marker=marker, ls=dash, elinewidth=0.6, label=label)
        axis.set_xticks(range(len(names)), [str(PROTOCOLS[name].minutes) for name in names])
        axis.set_xlabel("labelled minutes a patient")
        axis.set_title(title)
    axes[0].set_ylabel("macro-F1")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def main() -> None:
    """Write the PNG beside the results."""
    results = json.loads((HERE / "results.json").read_text())
    with mpl.rc_context(style.RC):
        draw(results).savefig(HERE / "label_scarcity.png")


if __name__ == "__main__":
    main()
