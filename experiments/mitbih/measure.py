"""Numbers of one finished run, computed from its result files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import bootstrap

from bofl_jax import results
from bofl_jax.metrics import client_metrics, compute_metrics, fairness, to_summary
from experiments.common.contrasts import person_index

RESAMPLES = 2000
FEW_BEATS = 3
LISTED_BEATS = 20


class Predictions(NamedTuple):
    """Predictions of one model for the test beats."""

    probability: np.ndarray  # float32[N, K]
    label: np.ndarray  # int32[N]
    client: np.ndarray  # int32[N]
    names: tuple[str, ...]  # names of the C clients
    classes: tuple[str, ...]  # names of the K classes
    training_beats: np.ndarray  # int[C, K]


def read_predictions(run: Path, model: str, without: str = "") -> Predictions:
    """Read the predictions of one model.

    Args:
        run: the run directory.
        model: ``global`` or ``personalised``.
        without: client whose beats are left out.
    """
    predictions = results.read_predictions(run)
    names, classes = predictions.client_names, predictions.classes
    kept = np.array(names)[predictions.client] != without
    columns = [array[kept] for array in (predictions.models[model], predictions.label, predictions.client)]
    beats = results.read_clients(run).counts["train"]
    return Predictions(*columns, names, classes, np.stack([beats[name] for name in classes], axis=1).astype(int))


def measure(predictions: Predictions) -> dict[str, Any]:
    """The numbers of one seed that the table shows."""
    everything = np.ones(len(predictions.label), bool)
    overall = to_summary(compute_metrics(predictions.probability, predictions.label, everything), predictions.classes)
    per_client = client_metrics(
        predictions.probability, predictions.label, predictions.client, clients=len(predictions.names)
    )
    accuracy, has_beats = np.asarray(per_client.accuracy), np.asarray(per_client.support) > 0
    spread = fairness(accuracy, has_beats).as_dict()
    return {
        **{name: overall[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_f1_nsv", "ece")},
        "recall": {name: row["recall"] for name, row in overall["per_class"].items()},
        "precision": {name: row["precision"] for name, row in overall["per_class"].items()},
        "client_sd": spread["sd"],
        "worst_10_percent": spread["worst_10_percent"],
        "worst_4": float(np.sort(accuracy[has_beats])[:4].mean()),
        "unseen_s": rare_training_recall(predictions, "S"),
        "records": {name: by_record(predictions, name) for name in ("S", "F")},
        "beats": len(predictions.label),
        "clients": int(has_beats.sum()),
    }


def rare_training_recall(predictions: Predictions, name: str) -> float | None:
    """Recall of a class over the clients that trained and had fewer than three training beats of it.

    Args:
        predictions: predictions of one model.
        name: name of the class.
    """
    index = predictions.classes.index(name)
    few = (predictions.training_beats.sum(axis=1) > 0) & (predictions.training_beats[:, index] < FEW_BEATS)
    beats = few[predictions.client] & (predictions.label == index)
    return float((predictions.probability[beats].argmax(axis=1) == index).mean()) if beats.any() else None


def by_record(predictions: Predictions, name: str) -> dict[str, list[int]]:
    """Record -> [beats, found, false alarms] of a class, for the records with at least 20 of one of them.

    Args:
        predictions: predictions of one model.
        name: name of the class.
    """
    index = predictions.classes.index(name)
    records, counts = _confusions_by_group(predictions, predictions.names)
    beats, found = counts[:, index].sum(axis=1), counts[:, index, index]
    rows = np.stack([beats, found, counts[:, :, index].sum(axis=1) - found], axis=1)
    return {str(r): row.tolist() for r, row in zip(records, rows, strict=True) if row.max() >= LISTED_BEATS}


def person_interval(seeds: Sequence[Predictions]) -> list[float]:
    """95 % percentile bootstrap interval of the macro-F1, averaged over the seeds.

    People are resampled, not beats. Records 201 and 202 are one man and are drawn together.
    """
    counts = np.stack([_confusions_by_group(predictions, person_index(predictions.names))[1] for predictions in seeds])

    def mean_macro_f1(drawn: np.ndarray, axis: int) -> np.ndarray:
        del axis  # always the last: the people of one resample
        return macro_f1(counts[:, drawn.astype(int)].sum(axis=-3)).mean(axis=0)

    people = np.arange(counts.shape[1])
    rng = np.random.default_rng(0)
    found = bootstrap((people,), mean_macro_f1, n_resamples=RESAMPLES, method="percentile", vectorized=True, rng=rng)
    return [float(end) for end in found.confidence_interval]


def macro_f1(matrix: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes with true samples, of confusion matrices ``[..., K, K]`` (rows: true class)."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    support, predicted = matrix.sum(axis=-1), matrix.sum(axis=-2)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    return f1.sum(axis=-1, where=support > 0) / np.maximum((support > 0).sum(axis=-1), 1)


def most_influential(seeds: Sequence[Predictions]) -> dict[str, Any]:
    """The record that changes the macro-F1 (mean over the seeds) most when its beats are left out, and the value."""
    by_seed = [_confusions_by_group(predictions, predictions.names) for predictions in seeds]
    records, counts = by_seed[0][0], np.stack([counts for _, counts in by_seed])
    total = counts.sum(axis=1, keepdims=True)
    without = macro_f1(total - counts).mean(axis=0)
    most = int(np.abs(without - macro_f1(total).mean()).argmax())
    return {"record": str(records[most]), "macro_f1_without": float(without[most])}


def _confusions_by_group(predictions: Predictions, groups: Sequence[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The groups with test beats, and the confusion matrix of each: int[groups, K, K].

    Args:
        predictions: predictions for the test beats.
        groups: group of each client.
    """
    names, row = np.unique(np.array(groups)[predictions.client], return_inverse=True)
    counts = np.zeros((len(names), len(predictions.classes), len(predictions.classes)), int)
    np.add.at(counts, (row, predictions.label, predictions.probability.argmax(axis=1)), 1)
    return names, counts
