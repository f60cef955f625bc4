"""Sets of classes that should hold the true one in 90 % of cases: how often they do for each client, and how large."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.words import sizes
from bofl_jax.results import Predictions, Run

LEVEL = 0.9
FOLDS = 10


def conformal(run: Run) -> Drawing | Skip:
    """Coverage above and mean set size below, clients in the order of the first model's coverage."""
    predictions = run.predictions
    present = np.unique(predictions.client)
    if not predictions.models or len(present) < 2:
        return Skip("fewer than two clients have test samples" if predictions.models else "no model has probabilities")
    found = {model: by_client(predictions, probability) for model, probability in predictions.models.items()}
    order = np.lexsort(tuple(coverage for coverage, _ in reversed(found.values())))
    means = "; ".join(f"{model}: {coverage.mean():.3f}" for model, (coverage, _) in found.items())
    caption = (
        f"Split conformal sets (least ambiguous classifier) at level {LEVEL}: share of a client's test samples whose "
        "set holds the true class, and mean number of classes in a set. Thresholds come from the test samples of other "
        f"clients only ({min(FOLDS, len(present))} folds of clients, scores pooled as in federated calibration). "
        f"Clients are no exchangeable samples, so a client's coverage need not be {LEVEL}; the grey line is {LEVEL}. "
        f"Mean over clients, {means}. Where a model is right more often than the level, sets may be empty. {sizes(run)}"
    )
    return Drawing(_draw(found, order), caption, _rows(run, found, order, present))


def by_client(predictions: Predictions, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and mean set size of each client with test samples, float64[C] each.

    The score of a class is 1 - its probability. A threshold is the ceil((n + 1) * level)-th smallest score of the true
    classes of the n calibration samples, infinite where n is too small.

    Sadinle, Lei & Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", JASA, 2019; pooled
    over clients as in Lu et al., "Federated conformal predictors for distributed uncertainty quantification", ICML
    2023.
    """
    _, client = np.unique(predictions.client, return_inverse=True)
    score = 1 - probability
    true = score[np.arange(len(client)), predictions.label]
    limit = np.array([_threshold(true[client % FOLDS != fold]) for fold in range(FOLDS)])[client % FOLDS]
    count = np.bincount(client)
    covered, size = true <= limit, (score <= limit[:, None]).sum(axis=1)
    return np.bincount(client, weights=covered) / count, np.bincount(client, weights=size) / count


def _threshold(scores: np.ndarray) -> float:
    place = int(np.ceil((len(scores) + 1) * LEVEL))
    return float(np.partition(scores, place - 1)[place - 1]) if place <= len(scores) else np.inf


def _draw(found: dict[str, Any], order: np.ndarray) -> Figure:
    figure, axes = style.panels(2, 3.3, sharex=True)
    rank = np.arange(1, len(order) + 1)
    for model, parts in found.items():
        look = style.MODELS[model]
        for axis, values in zip(axes, parts, strict=True):
            axis.plot(
                rank, values[order], look.marker, color=look.color, markersize=2.6, markeredgewidth=0, label=look.label
            )
    axes[0].axhline(LEVEL, color="#bbbbbb", linewidth=0.8, zorder=1)
    axes[0].set_ylabel("coverage")
    axes[1].set_ylabel("classes in a set")
    axes[1].set_xlabel(f"client, sorted by {next(iter(found))} coverage")
    style.count_axis(axes[1], len(order))
    figure.align_ylabels(axes)
    style.unique_legend(figure, axes)
    return figure


def _rows(run: Run, found: dict[str, Any], order: np.ndarray, present: np.ndarray) -> list[dict[str, Any]]:
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
