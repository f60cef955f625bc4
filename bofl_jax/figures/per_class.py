"""Recall and precision of every class, before and after personalisation, with intervals over subjects."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.reading import Predictions, Run
from bofl_jax.figures.skip import Skip

RESAMPLES = 2000
_SPAN = 0.8  # of the distance between two classes, covered by bars


def per_class(run: Run) -> Figure | Skip:
    """A bar per class and model; whiskers are 95 % percentile intervals of the subject bootstrap.

    Beats of one patient resemble each other, so whole subjects are resampled, never beats.
    """
    test = {model: run.summary.test[model] for model in style.MODELS if model in run.summary.test}
    if not test:
        return Skip("no model was evaluated on the test data")
    support = {name: row["support"] for name, row in next(iter(test.values()))["per_class"].items()}
    figure, axes = style.panels(2, 3.6, sharex=True)
    for axis, quantity in zip(axes, ("recall", "precision"), strict=True):
        for place, model in enumerate(test):
            width = _SPAN / len(test)
            offset = (place + 0.5) * width - _SPAN / 2
            height = _heights(test[model]["per_class"], quantity)
            x = _bars(axis, height, (offset, width), style.MODELS[model])
            interval = subject_interval(run.predictions, model, quantity)
            if interval is not None:
                _whiskers(axis, x, height, interval)
        axis.set_ylabel(quantity)
        axis.set_ylim(0, 1.04)
        axis.set_xlim(-0.6, len(support) - 0.4)
        axis.tick_params(axis="x", length=0)
    axes[1].set_xticks(range(len(support)), [f"{name}\n{count:,}" for name, count in support.items()])
    axes[1].set_xlabel("class, with its number of test samples")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(test))
    return figure


def _heights(rows: dict[str, dict[str, Any]], quantity: str) -> np.ndarray:
    return np.array([np.nan if row[quantity] is None else row[quantity] for row in rows.values()], np.float64)


def _bars(axis: Axes, height: np.ndarray, place: tuple[float, float], look: style.Look) -> np.ndarray:
    """Draw one model's bars at ``place`` = (offset, width) within each class's group; return their positions."""
    offset, width = place
    x, known = np.arange(len(height)) + offset, np.isfinite(height)
    axis.bar(x[known], height[known], 0.92 * width, color=look.color, hatch=look.hatch, ec="white", label=look.label)
    for position in x[~known]:
        axis.text(position, 0.02, "n/a", ha="center", va="bottom", color=style.GREY, fontsize=6, rotation=90)
    return x


def _whiskers(axis: Axes, x: np.ndarray, height: np.ndarray, interval: tuple[np.ndarray, np.ndarray]) -> None:
    low, high = interval
    lengths = np.stack([np.maximum(height - low, 0), np.maximum(high - height, 0)])
    known = np.isfinite(lengths).all(axis=0)
    axis.errorbar(x[known], height[known], lengths[:, known], fmt="none", ecolor="black", elinewidth=0.7, capsize=1.5)


def subject_interval(predictions: Predictions, model: str, quantity: str) -> tuple[np.ndarray, np.ndarray] | None:
    """95 % percentile interval of a per-class quantity when whole subjects are drawn again with replacement.

    Args:
        predictions: of the test samples.
        model: ``global`` or ``personalised``.
        quantity: ``recall`` or ``precision``.

    Returns:
        float64[K] lower and upper ends, NaN where a draw never defines the quantity; ``None`` with fewer than two
        subjects or without probabilities of the model.

    Efron & Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall, 1993, chapter 13.
    """
    probability = getattr(predictions, f"{model}_probability")
    matrices = None if probability is None else _subject_confusions(predictions, probability)
    if matrices is None or len(matrices) < 2:
        return None
    draws = np.random.default_rng(0).multinomial(len(matrices), np.full(len(matrices), 1 / len(matrices)), RESAMPLES)
    resampled = np.tensordot(draws, matrices, axes=1)  # int64[RESAMPLES, K, K]
    hit = np.diagonal(resampled, axis1=1, axis2=2)
    total = resampled.sum(axis=2 if quantity == "recall" else 1)
    value = np.where(total > 0, hit / np.maximum(total, 1), np.nan)
    never = np.isnan(value).all(axis=0)
    low, high = np.nanpercentile(np.where(never, 0.0, value), [2.5, 97.5], axis=0)
    return np.where(never, np.nan, low), np.where(never, np.nan, high)


def _subject_confusions(predictions: Predictions, probability: np.ndarray) -> np.ndarray:
    """int64[subjects, K, K]: true class by predicted class, of every subject with test samples."""
    _, subject = np.unique(predictions.subject, return_inverse=True)
    matrices = np.zeros((subject.max(initial=-1) + 1, *(len(predictions.classes),) * 2), np.int64)
    np.add.at(matrices, (subject, predictions.label, probability.argmax(axis=1)), 1)
    return matrices
