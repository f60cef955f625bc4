"""Training loss and test quality of the global model over the rounds."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bofl_jax.figures import style
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.words import sizes
from bofl_jax.results import Rounds, Run


def convergence(run: Run) -> Drawing | Skip:
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
    style.unique_legend(figure, axes)
    return Drawing(figure, _caption(run), _rows(run.rounds))


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


def _rows(rounds: Rounds) -> list[dict[str, Any]]:
    columns = (rounds.number, rounds.loss, rounds.accuracy, rounds.macro_f1)
    names = ("round", "training loss (nats)", "accuracy", "macro-F1")
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _caption(run: Run) -> str:
    return (
        "Training loss (nats, mean over the clients of a round) and accuracy and macro-F1 of the global model on the "
        f"test samples, by round. {sizes(run)} One run, so there are no bands: a sweep over seeds has them."
    )
