"""Training loss and test quality of the global model over the rounds."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.reading import Rounds, Run
from bofl_jax.figures.skip import Skip


def convergence(run: Run) -> Figure | Skip:
    """Loss above, macro-F1 and accuracy below; only the panels that have data."""
    parts = [
        (draw_part, has_data)
        for draw_part, has_data in (
            (_loss, np.isfinite(run.rounds.loss).any()),
            (_quality, np.isfinite([run.rounds.accuracy, run.rounds.macro_f1]).any()),
        )
        if has_data
    ]
    if not parts:
        return Skip("no round has a finite loss or an evaluation")
    figure, axes = style.panels(len(parts), 0.5 + 1.45 * len(parts), sharex=True)
    for axis, (draw_part, _) in zip(axes, parts, strict=True):
        draw_part(axis, run.rounds)
    axes[-1].set_xlabel("round")
    style.count_axis(axes[-1], len(run.rounds.number))
    figure.align_ylabels(axes)
    return figure


def _loss(axis: Axes, rounds: Rounds) -> None:
    axis.plot(rounds.number, rounds.loss, color=style.LOSS.color, marker="o" if len(rounds.number) == 1 else "")
    axis.set_ylabel("training loss (nats)")
    axis.set_ylim(bottom=0)


def _quality(axis: Axes, rounds: Rounds) -> None:
    for look, values in ((style.ACCURACY, rounds.accuracy), (style.MACRO_F1, rounds.macro_f1)):
        known = np.isfinite(values)
        marker = look.marker if known.sum() <= 30 else ""
        axis.plot(rounds.number[known], values[known], look.dash, color=look.color, marker=marker, label=look.label)
    axis.set_ylabel("test score, global")
    axis.set_ylim(0, 1.02)
    axis.legend(loc="lower right")
