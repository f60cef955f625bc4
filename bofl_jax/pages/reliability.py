"""The reliability diagram: how often the most probable class is right, by confidence."""

import numpy as np
from scipy.stats import rankdata

BINS = 15


def reliability(probability: np.ndarray, label: np.ndarray, bins: int = BINS) -> dict[str, np.ndarray]:
    """Mean confidence and accuracy in bins of equal mass, as in `bofl_jax.metrics.calibration.ece`.

    The gaps of the bins, weighted by their samples, add up to the expected calibration error.

    Args:
        probability: float32[N, K].
        label: int32[N].
        bins: B; tied samples share a bin, so that some may be empty and are left out.

    Returns:
        ``confidence``, ``accuracy`` and ``samples`` of the bins, in rising order of confidence.

    Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised learning", ICML 2005.

    >>> reliability(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))["accuracy"]
    array([0.75])
    """
    confidence, right = probability.max(axis=1, initial=0.0).astype(np.float64), probability.argmax(axis=1) == label
    lower = rankdata(confidence, method="min").astype(np.int64) - 1  # samples with strictly lower confidence
    place = lower * bins // max(len(label), 1)
    samples = np.bincount(place, minlength=bins)
    filled = samples > 0
    mean = {"confidence": confidence, "accuracy": right}
    means = {name: np.bincount(place, value, bins)[filled] / samples[filled] for name, value in mean.items()}
    return means | {"samples": samples[filled]}
