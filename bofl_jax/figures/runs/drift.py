"""Whether a model that was adapted once grows stale: scores on the test by time of the recording."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bofl_jax.figures import intervals, style
from bofl_jax.figures.curves import score_axis
from bofl_jax.figures.intervals import confusion, interval_over_people
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.words import BY_SUBJECT, sizes, spanned
from bofl_jax.results import Predictions, Run

QUANTITIES = {"accuracy": intervals.accuracy, "macro-F1": intervals.macro_f1}
MOST, FEWEST = 12, 3
"""Bins of time."""
_WORDS = {"people": ("person", "people"), "samples": ("sample",)}


def drift(run: Run) -> Drawing | Skip:
    """Accuracy above and macro-F1 below, a line a model; bands are 95 % intervals of the bootstrap over people."""
    predictions = run.predictions
    if not predictions.models or not len(predictions.label):
        return Skip("no model has probabilities")
    if not np.ptp(predictions.time) > 0:
        return Skip("the test samples have no times, or all the same")
    rows = by_time(predictions)
    counted = [row for row in rows if np.isfinite(row["accuracy"])]
    if len({row["start (s)"] for row in counted}) < FEWEST:
        return Skip(f"the test covers fewer than {FEWEST} bins of whole minutes with two people or more in each")
    return Drawing(_draw(rows), _caption(run, counted), rows)


def time_bins(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bins of the same number of whole minutes, as narrow as `MOST` of them allow.

    Args:
        time: float64[N], in s.

    Returns:
        The bin of each sample, int64[N], and the edges of the b bins in s, int64[b + 1]; a bin holds its first edge.

    >>> member, edges = time_bins(np.array([305.0, 479.9, 480.0, 1805.0]))
    >>> member.tolist(), edges.tolist()
    ([0, 0, 1, 8], [300, 480, 660, 840, 1020, 1200, 1380, 1560, 1740, 1920])
    """
    minute = (time // 60).astype(np.int64)
    minute, first = minute - minute.min(), int(minute.min())
    width = -(-(int(minute.max()) + 1) // MOST)  # rounded up
    member = minute // width
    return member, 60 * (first + width * np.arange(member.max() + 2))


def by_time(predictions: Predictions) -> list[dict[str, Any]]:
    """A row a bin and model; the scores of a bin with samples of fewer than two people are NaN."""
    member, edges = time_bins(predictions.time)
    rows = []
    for place, (start, end) in enumerate(pairwise(edges.tolist())):
        part = predictions.part(member == place)
        head = {"start (s)": start, "end (s)": end} | _held(part)
        rows += [{"model": model} | head | _scores(part, model) for model in predictions.models]
    return rows


def _held(part: Predictions) -> dict[str, Any]:
    counts = np.bincount(part.label, minlength=len(part.classes)).tolist()
    return {
        "mean time (s)": float(part.time.mean()) if len(part.time) else np.nan,
        "people": len(np.unique(part.person)),
        "samples": len(part.label),
        **{f"samples of {name}": count for name, count in zip(part.classes, counts, strict=True)},
    }


def _scores(part: Predictions, model: str) -> dict[str, float]:
    scores: dict[str, float] = {}
    for name, quantity in QUANTITIES.items():
        ends = interval_over_people(part, model, quantity)
        value, low, high = (np.nan,) * 3 if ends is None else (quantity(confusion(part, model)), *ends)
        scores |= {name: float(value), f"{name} low": float(low), f"{name} high": float(high)}
    return scores


def _draw(rows: list[dict[str, Any]]) -> Figure:
    figure, axes = style.panels(len(QUANTITIES), 3.5, sharex=True)
    for axis, name in zip(axes, QUANTITIES, strict=True):
        for model in dict.fromkeys(row["model"] for row in rows):
            _line(axis, [row for row in rows if row["model"] == model], name, style.MODELS[model])
        axis.set_ylabel(f"{name} on the test")
    score_axis(axes)
    axes[-1].set_xlabel("minutes since the recording's start")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    figure.align_ylabels(axes)
    style.unique_legend(figure, axes)
    return figure


def _line(axis: Axes, rows: list[dict[str, Any]], name: str, look: style.Look) -> None:
    """A bin without scores interrupts the line."""
    columns = ("mean time (s)", name, f"{name} low", f"{name} high")
    seconds, value, low, high = (np.array([row[column] for row in rows]) for column in columns)
    axis.plot(seconds / 60, value, color=look.color, linestyle=look.dash, marker=look.marker, label=look.label)
    axis.fill_between(seconds / 60, low, high, color=look.color, alpha=0.18, linewidth=0)


def _caption(run: Run, counted: list[dict[str, Any]]) -> str:
    start, width = counted[0]["start (s)"] // 60, (counted[0]["end (s)"] - counted[0]["start (s)"]) // 60
    people, samples = (spanned([row[of] for row in counted], *words) for of, words in _WORDS.items())
    return (
        "Accuracy and macro-F1 (mean over the classes that have samples in the bin) on the test by time of the "
        f"recording, in bins of {width} min from minute {start} on; recordings may end within the last one. Points "
        f"stand at the mean time of their samples. Bands: {BY_SUBJECT}, of those with samples in the bin: {people} and "
        f"{samples} a bin. The models see the same samples, whose difficulty changes with time too: what happens to "
        f"both of them need not be drift. {sizes(run)}"
    )
