"""Training loss and test quality of the global model over the rounds."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import sample_sizes
from bofl_jax.results import Rounds, RunResults


def convergence(run: RunResults) -> Drawing | Unavailable:
    """Draw the loss above, macro-F1 and accuracy below; panels without data are left out."""
    parts = [
        (draw_part, has_data)
        for draw_part, has_data in (
            (_draw_loss, np.isfinite(run.rounds.loss).any()),
            (_draw_scores, np.isfinite([run.rounds.accuracy, run.rounds.macro_f1]).any()),
        )
        if has_data
    ]
    if not parts:
        return Unavailable("no round has a finite loss or an evaluation")
    figure, axes = style.stacked_panels(len(parts), 0.5 + 1.45 * len(parts), sharex=True)
    for axis, (draw_part, _) in zip(axes, parts, strict=True):
        draw_part(axis, run.rounds)
    axes[-1].set_xlabel("round")
    style.count_axis(axes[-1], len(run.rounds.number))
    figure.align_ylabels(axes)
    style.unique_legend(figure, axes)
    return Drawing(figure, _caption(run), _rows(run.rounds))


def _draw_loss(axis: Axes, rounds: Rounds) -> None:
    axis.plot(rounds.number, rounds.loss, color=style.LOSS.color, marker="o" if len(rounds.number) == 1 else "")
    axis.set_ylabel("training loss (nats)")
    axis.set_ylim(bottom=0)


def _draw_scores(axis: Axes, rounds: Rounds) -> None:
    for series, values in ((style.ACCURACY, rounds.accuracy), (style.MACRO_F1, rounds.macro_f1)):
        known = np.isfinite(values)
        marker = series.marker if known.sum() <= 30 else ""
        axis.plot(
            rounds.number[known], values[known], series.linestyle, color=series.color, marker=marker, label=series.label
        )
    axis.set_ylabel("test score, global")
    axis.set_ylim(0, 1.02)


def _rows(rounds: Rounds) -> list[dict[str, Any]]:
    columns = (rounds.number, rounds.loss, rounds.accuracy, rounds.macro_f1)
    names = ("round", "training loss (nats)", "accuracy", "macro-F1")
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _caption(run: RunResults) -> str:
    return (
        "Training loss (nats, mean over the clients of a round) and accuracy and macro-F1 of the global model on the "
        f"test samples, by round. {sample_sizes(run)} One run, so there are no bands: a sweep over seeds has them."
    )
