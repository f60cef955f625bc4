"""Conformal sets, which should hold the true class in 90 % of cases: their coverage and size for each client."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import sample_sizes
from bofl_jax.metrics import conformal_threshold, lac_scores, prediction_sets
from bofl_jax.metrics.conformal import ALPHA
from bofl_jax.results import Predictions, RunResults

LEVEL = 1 - ALPHA
FOLDS = 10


def conformal(run: RunResults) -> Drawing | Unavailable:
    """Draw coverage above and mean set size below, clients in the order of the first model's coverage."""
    predictions = run.predictions
    present = np.unique(predictions.client)
    if not predictions.models or len(present) < 2:
        return Unavailable(
            "fewer than two clients have test samples" if predictions.models else "no model has probabilities"
        )
    found = {model: client_coverage(predictions, probability) for model, probability in predictions.models.items()}
    order = np.lexsort(tuple(coverage for coverage, _ in reversed(found.values())))
    means = "; ".join(f"{model}: {coverage.mean():.3f}" for model, (coverage, _) in found.items())
    caption = (
        f"Split conformal sets (least ambiguous classifier) at level {LEVEL}: share of a client's test samples whose "
        "set holds the true class, and mean number of classes in a set. Thresholds come from the test samples of other "
        f"clients only ({min(FOLDS, len(present))} folds of clients, scores pooled as in federated calibration). "
        f"Clients are no exchangeable samples, so a client's coverage need not be {LEVEL}; the grey line is {LEVEL}. "
        f"Mean over clients, {means}. Where a model is right more often than the level, sets may be empty. "
        f"{sample_sizes(run)}"
    )
    return Drawing(_draw(found, order), caption, _rows(run, found, order, present))


def client_coverage(predictions: Predictions, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and mean set size of each client with test samples, float64[C] each.

    Clients are split into folds, and each fold is calibrated on the pooled samples of the other folds.

    Args:
        predictions: of the test samples.
        probability: float32[N, K], of one model.

    Sadinle, Lei & Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", JASA, 2019; pooled
    over clients as in Lu et al., "Federated conformal predictors for distributed uncertainty quantification", ICML
    2023.
    """
    clients, client = np.unique(predictions.client, return_inverse=True)
    fold, label = client % FOLDS, predictions.label
    scores = lac_scores(jnp.asarray(probability))
    thresholds = _fold_thresholds(scores, label, fold != np.arange(FOLDS)[:, None])
    sets = np.asarray(prediction_sets(scores, thresholds[fold, None]))
    count = np.bincount(client, minlength=len(clients))
    covered, size = sets[np.arange(len(label)), label], sets.sum(axis=1)
    return np.bincount(client, weights=covered) / count, np.bincount(client, weights=size) / count


_fold_thresholds = jax.jit(jax.vmap(conformal_threshold, in_axes=(None, None, 0)))


def _draw(found: dict[str, Any], order: np.ndarray) -> Figure:
    figure, axes = style.stacked_panels(2, 3.3, sharex=True)
    rank = np.arange(1, len(order) + 1)
    for model, parts in found.items():
        series = style.MODELS[model]
        for axis, values in zip(axes, parts, strict=True):
            axis.plot(
                rank,
                values[order],
                series.marker,
                color=series.color,
                markersize=2.6,
                markeredgewidth=0,
                label=series.label,
            )
    axes[0].axhline(LEVEL, color="#bbbbbb", linewidth=0.8, zorder=1)
    axes[0].set_ylabel("coverage")
    axes[1].set_ylabel("classes in a set")
    axes[1].set_xlabel(f"client, sorted by {next(iter(found))} coverage")
    style.count_axis(axes[1], len(order))
    figure.align_ylabels(axes)
    style.unique_legend(figure, axes)
    return figure


def _rows(run: RunResults, found: dict[str, Any], order: np.ndarray, present: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            "client": run.clients.name[present[place]],
            "model": model,
            "coverage": coverage[place],
            "set size": size[place],
        }
        for place in order
        for model, (coverage, size) in found.items()
    ]
