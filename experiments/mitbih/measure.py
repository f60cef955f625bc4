"""Numbers of one finished run, from its result files."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import bootstrap

from bofl_jax.data import person_of
from bofl_jax.metrics import as_dict, client_metrics, fairness, metrics

RESAMPLES = 2000
FEW_BEATS = 3
LISTED_BEATS = 20


class Tested(NamedTuple):
    """The test of one model."""

    probability: np.ndarray  # float32[N, K]
    label: np.ndarray  # int32[N]
    client: np.ndarray  # int32[N]
    names: tuple[str, ...]  # C
    classes: tuple[str, ...]  # K
    training_beats: np.ndarray  # int[C, K]


def read(run: Path, model: str, without: str = "") -> Tested:
    """Read the test of one model, less the beats of the client ``without``."""
    with np.load(run / "predictions.npz") as arrays:
        kept = arrays["client_names"][arrays["client"]] != without
        names, classes = tuple(arrays["client_names"].tolist()), tuple(arrays["classes"].tolist())
        parts = [arrays[name][kept] for name in (f"{model}_probability", "label", "client")]
    with (run / "clients.csv").open() as file:
        beats = [[int(row[f"train_{name}"]) for name in classes] for row in csv.DictReader(file)]
    return Tested(*parts, names, classes, np.array(beats))


def measure(tested: Tested) -> dict[str, Any]:
    """Everything that stands in the table, of one seed."""
    everything = np.ones(len(tested.label), bool)
    found = as_dict(metrics(tested.probability, tested.label, everything), tested.classes)
    per_client = client_metrics(tested.probability, tested.label, tested.client, clients=len(tested.names))
    accuracy, there = np.asarray(per_client.accuracy), np.asarray(per_client.support) > 0
    spread = fairness(accuracy, there).as_dict()
    return {
        **{name: found[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_f1_nsv", "ece")},
        "recall": {name: row["recall"] for name, row in found["per_class"].items()},
        "precision": {name: row["precision"] for name, row in found["per_class"].items()},
        "client_sd": spread["sd"],
        "worst_10_percent": spread["worst_10_percent"],
        "worst_4": float(np.sort(accuracy[there])[:4].mean()),
        "unseen_s": unseen_recall(tested, "S"),
        "records": {name: by_record(tested, name) for name in ("S", "F")},
        "beats": len(tested.label),
        "clients": int(there.sum()),
    }


def unseen_recall(tested: Tested, name: str) -> float | None:
    """Recall of a class on the clients that trained and had fewer than three training beats of it."""
    index = tested.classes.index(name)
    few = (tested.training_beats.sum(axis=1) > 0) & (tested.training_beats[:, index] < FEW_BEATS)
    beats = few[tested.client] & (tested.label == index)
    return float((tested.probability[beats].argmax(axis=1) == index).mean()) if beats.any() else None


def by_record(tested: Tested, name: str) -> dict[str, list[int]]:
    """Where a class is: record -> [beats, found, false alarms], of the records with at least 20 of one of them."""
    index = tested.classes.index(name)
    records, counts = _counts(tested, tested.names)
    beats, found = counts[:, index].sum(axis=1), counts[:, index, index]
    rows = np.stack([beats, found, counts[:, :, index].sum(axis=1) - found], axis=1)
    return {str(r): row.tolist() for r, row in zip(records, rows, strict=True) if row.max() >= LISTED_BEATS}


def person_interval(seeds: Sequence[Tested]) -> list[float]:
    """95 % percentile bootstrap interval of the macro-F1, averaged over the seeds; people are resampled, not beats.

    Records 201 and 202 are one man and are drawn together.
    """
    counts = np.stack([_counts(tested, [person_of(name) for name in tested.names])[1] for tested in seeds])

    def mean_macro_f1(drawn: np.ndarray, axis: int) -> np.ndarray:
        del axis  # the last: the people of one resample
        return macro_f1(counts[:, drawn.astype(int)].sum(axis=-3)).mean(axis=0)

    people = np.arange(counts.shape[1])
    rng = np.random.default_rng(0)
    found = bootstrap((people,), mean_macro_f1, n_resamples=RESAMPLES, method="percentile", vectorized=True, rng=rng)
    return [float(end) for end in found.confidence_interval]


def macro_f1(matrix: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes with true samples, of confusion matrices ``[..., K, K]`` (rows: true class)."""
    hit = np.diagonal(matrix, axis1=-2, axis2=-1)
    support, predicted = matrix.sum(axis=-1), matrix.sum(axis=-2)
    f1 = 2 * hit / np.maximum(support + predicted, 1)
    return f1.sum(axis=-1, where=support > 0) / np.maximum((support > 0).sum(axis=-1), 1)


def most_influential(seeds: Sequence[Tested]) -> dict[str, Any]:
    """The record whose beats move the macro-F1 (mean over the seeds) most when they are left out, and to where."""
    counted = [_counts(tested, tested.names) for tested in seeds]
    records, counts = counted[0][0], np.stack([counts for _, counts in counted])
    whole = counts.sum(axis=1, keepdims=True)
    without = macro_f1(whole - counts).mean(axis=0)
    most = int(np.abs(without - macro_f1(whole).mean()).argmax())
    return {"record": str(records[most]), "macro_f1_without": float(without[most])}


def _counts(tested: Tested, groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Names of the groups with test beats, and the confusion matrix of each: int[groups, K, K].

    Args:
        groups: group of each client.
    """
    names, row = np.unique(np.array(groups)[tested.client], return_inverse=True)
    counts = np.zeros((len(names), len(tested.classes), len(tested.classes)), int)
    np.add.at(counts, (row, tested.label, tested.probability.argmax(axis=1)), 1)
    return names, counts
