"""Whether a model that was adapted once becomes outdated: test scores by time of the recording."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import PERSON_INTERVALS, format_count_range, sample_sizes
from bofl_jax.figures.curves import fit_score_axis
from bofl_jax.figures.intervals import confusion, person_interval
from bofl_jax.metrics import METRICS
from bofl_jax.results import Predictions, RunResults

SCORES = (METRICS["accuracy"], METRICS["macro_f1"])
MAX_BINS, MIN_BINS = 12, 3
"""Numbers of bins of time."""
_NOUNS = {"people": ("person", "people"), "samples": ("sample",)}


def drift(run: RunResults) -> Drawing | Unavailable:
    """Draw accuracy above and macro-F1 below; bands are 95 % intervals of the bootstrap over people."""
    predictions = run.predictions
    if not predictions.models or not len(predictions.label):
        return Unavailable("no model has probabilities")
    if not np.ptp(predictions.time) > 0:
        return Unavailable("the test samples have no times, or all the same")
    rows = time_rows(predictions)
    counted = [row for row in rows if np.isfinite(row["accuracy"])]
    if len({row["start (s)"] for row in counted}) < MIN_BINS:
        return Unavailable(
            f"the test covers fewer than {MIN_BINS} bins of whole minutes with two people or more in each"
        )
    return Drawing(_draw(rows), _caption(run, counted), rows)


def time_bins(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bins of the same number of whole minutes, as narrow as at most `MAX_BINS` bins allow.

    Args:
        time: float64[N], in s.

    Returns:
        The bin of each sample, int64[N], and the edges of the b bins in s, int64[b + 1]; a bin holds its first edge.

    >>> bin_of, edges = time_bins(np.array([305.0, 479.9, 480.0, 1805.0]))
    >>> bin_of.tolist(), edges.tolist()
    ([0, 0, 1, 8], [300, 480, 660, 840, 1020, 1200, 1380, 1560, 1740, 1920])
    """
    minute = (time // 60).astype(np.int64)
    minute, first = minute - minute.min(), int(minute.min())
    width = -(-(int(minute.max()) + 1) // MAX_BINS)  # rounded up
    bin_of = minute // width
    return bin_of, 60 * (first + width * np.arange(bin_of.max() + 2))


def time_rows(predictions: Predictions) -> list[dict[str, Any]]:
    """Rows by bin and model; the scores of a bin with samples of fewer than two people are NaN."""
    bin_of, edges = time_bins(predictions.time)
    rows = []
    for index, (start, end) in enumerate(pairwise(edges.tolist())):
        part = predictions.part(bin_of == index)
        head = {"start (s)": start, "end (s)": end} | _bin_sizes(part)
        rows += [{"model": model} | head | _scores(part, model) for model in predictions.models]
    return rows


def _bin_sizes(part: Predictions) -> dict[str, Any]:
    counts = np.bincount(part.label, minlength=len(part.classes)).tolist()
    return {
        "mean time (s)": float(part.time.mean()) if len(part.time) else np.nan,
        "people": len(np.unique(part.person)),
        "samples": len(part.label),
        **{f"samples of {name}": count for name, count in zip(part.classes, counts, strict=True)},
    }


def _scores(part: Predictions, model: str) -> dict[str, float]:
    scores: dict[str, float] = {}
    for metric in SCORES:
        assert metric.interval is not None
        ends = person_interval(part, model, metric.interval)
        value, low, high = (np.nan,) * 3 if ends is None else (metric.interval(confusion(part, model)), *ends)
        scores |= {metric.title: float(value), f"{metric.title} low": float(low), f"{metric.title} high": float(high)}
    return scores


def _draw(rows: list[dict[str, Any]]) -> Figure:
    figure, axes = style.stacked_panels(len(SCORES), 3.5, sharex=True)
    for axis, metric in zip(axes, SCORES, strict=True):
        for model in dict.fromkeys(row["model"] for row in rows):
            _draw_line(axis, [row for row in rows if row["model"] == model], metric.title, style.MODELS[model])
        axis.set_ylabel(f"{metric.title} on the test")
    fit_score_axis(axes)
    axes[-1].set_xlabel("minutes since the recording's start")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    figure.align_ylabels(axes)
    style.unique_legend(figure, axes)
    return figure


def _draw_line(axis: Axes, rows: list[dict[str, Any]], name: str, series: style.SeriesStyle) -> None:
    """Draw the line of one model, which a bin without scores interrupts."""
    columns = ("mean time (s)", name, f"{name} low", f"{name} high")
    seconds, value, low, high = (np.array([row[column] for row in rows]) for column in columns)
    axis.plot(
        seconds / 60, value, color=series.color, linestyle=series.linestyle, marker=series.marker, label=series.label
    )
    axis.fill_between(seconds / 60, low, high, color=series.color, alpha=0.18, linewidth=0)


def _caption(run: RunResults, counted: list[dict[str, Any]]) -> str:
    start, width = counted[0]["start (s)"] // 60, (counted[0]["end (s)"] - counted[0]["start (s)"]) // 60
    people, samples = (format_count_range([row[of] for row in counted], *words) for of, words in _NOUNS.items())
    return (
        "Accuracy and macro-F1 (mean over the classes that have samples in the bin) on the test by time of the "
        f"recording, in bins of {width} min from minute {start} on; recordings may end within the last one. Points "
        f"stand at the mean time of their samples. Bands: {PERSON_INTERVALS}, of those with samples in the bin: "
        f"{people} and {samples} a bin. The models see the same samples, whose difficulty changes with time too: what "
        "happens to "
        f"both of them need not be drift. {sample_sizes(run)}"
    )
