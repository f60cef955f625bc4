"""Counts of a training and its test, from which all metrics and their intervals are computed."""

import hashlib

import numpy as np

from bofl_jax.metrics import group_confusions
from experiments.common.files import Arrays
from experiments.main.training import Predictions

RARE = ("S", "V")
"""A rare classes, whose recall is read at a given specificity."""
SPECIFICITIES = np.array([0, 400, 600, 700, 800, 850, *range(900, 1001, 5)])
"""G operating points, in thousandths; a draw of people chooses among these."""
BINS = 15
GAP_UNIT = 0.01
"""Unit of the calibration gaps. Rounding to it changes the ECE of 80 000 test samples by 4e-5 at most."""


def count_training(predictions: Predictions, seconds: float, machine: str) -> Arrays:
    """Count the test samples of a training by subject (not by client: clients differ in Dirichlet splits).

    Args:
        predictions: predictions for the test samples.
        seconds: time that the training and its test took.
        machine: where it ran.

    Returns:
        ``names`` [P], ``clients`` (C), ``sizes`` int32[C] (test samples), ``seconds``, ``machine``, ``synthetic``, and
        for each model M ``M_confusion`` int32[P, K, K], ``M_hits`` int32[C], ``M_points`` int32[P, A, 2, G + 1],
        ``M_gaps`` int32[P, BINS] and ``M_digest`` uint8[32] of the probabilities' bytes; ``M_rounds`` and
        ``M_by_round`` where the model was tested by round.
    """
    found = {
        "names": np.array(predictions.subjects),
        "clients": np.int32(predictions.clients),
        "sizes": np.bincount(predictions.client, minlength=predictions.clients).astype(np.int32),
        "seconds": np.float64(seconds),
        "machine": np.array(machine),
        "synthetic": np.int32(predictions.synthetic),
    }
    for model, probability in predictions.probability.items():
        found |= {f"{model}_{name}": array for name, array in _count_model(predictions, probability).items()}
        if model in predictions.by_round:
            rounds, scores = zip(*predictions.by_round[model], strict=True)
            found |= {f"{model}_rounds": np.int32(rounds), f"{model}_by_round": np.float64(scores)}
    return found


def _count_model(predictions: Predictions, probability: np.ndarray) -> Arrays:
    subjects, correct = len(predictions.subjects), probability.argmax(axis=1) == predictions.label
    digest = hashlib.sha256(np.ascontiguousarray(probability).tobytes()).digest()
    return {
        "confusion": np.asarray(
            group_confusions(probability, predictions.label, predictions.subject, subjects), np.int32
        ),
        "hits": np.bincount(predictions.client, correct, predictions.clients).astype(np.int32),
        "points": np.stack(
            [_points(predictions, probability, name) for name in RARE if name in predictions.classes], axis=1
        ),
        "gaps": _gaps(predictions, probability.max(axis=1), correct),
        "digest": np.frombuffer(digest, np.uint8),
    }


def _points(predictions: Predictions, probability: np.ndarray, name: str) -> np.ndarray:
    """int32[P, 2, G + 1]: other samples and samples of a class, by how many of its thresholds they reach."""
    index = predictions.classes.index(name)
    positive = predictions.label == index
    score = probability[:, index]
    reached = np.searchsorted(thresholds(score, ~positive), score, side="right")
    counts = np.zeros((len(predictions.subjects), 2, len(SPECIFICITIES) + 1), np.int32)
    np.add.at(counts, (predictions.subject, positive.astype(int), reached), 1)
    return counts


def thresholds(score: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """float32[G], rising: the lowest observed scores at which the specificity is at least each of `SPECIFICITIES`.

    They equal those of `bofl_jax.metrics.threshold_at_specificity`, for one class and all operating points.

    Args:
        score: float32[N].
        negative: bool[N], which samples are not of the class.
    """
    falling, rising = np.sort(score[negative])[::-1], np.sort(score)
    allowed = len(falling) * (1000 - SPECIFICITIES) // 1000
    highest = np.append(falling, -np.inf)[allowed]
    return np.append(rising, np.inf)[np.searchsorted(rising, highest, side="right")]


def _gaps(predictions: Predictions, confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """int32[P, BINS]: sums of correct less confidence, in `GAP_UNIT`, in the bins of equal mass of `metrics.ece`."""
    lower = np.searchsorted(np.sort(confidence), confidence, side="left")
    gaps = np.zeros((len(predictions.subjects), BINS))
    np.add.at(gaps, (predictions.subject, BINS * lower // len(lower)), correct - confidence.astype(np.float64))
    return np.rint(gaps / GAP_UNIT).astype(np.int32)
