"""Points of diagrams for drawing, in float64: reliability, and risk against coverage."""

from typing import NamedTuple

import jax
import numpy as np

from bofl_jax.metrics.calibration import BINS
from bofl_jax.metrics.selective import risk_coverage


class ReliabilityPoints(NamedTuple):
    """The b bins of a reliability diagram that hold samples, in rising order of confidence."""

    confidence: np.ndarray  # float64[b], mean confidence
    accuracy: np.ndarray  # float64[b], share of samples whose top label is right
    samples: np.ndarray  # int64[b]


class RiskCoveragePoints(NamedTuple):
    """The risk-coverage curve at the p distinct confidences, from the most confident samples on."""

    coverage: np.ndarray  # float64[p], share of the samples that are accepted, rising
    risk: np.ndarray  # float64[p], share of errors among the accepted samples
    area: float  # mean risk over all coverages (AURC)


def reliability_points(probability: np.ndarray, label: np.ndarray, bins: int = BINS) -> ReliabilityPoints:
    """The reliability diagram of the top label, in the equal-mass bins of `bofl_jax.metrics.ece`.

    The gaps of the bins, weighted by their samples, add up to the expected calibration error.

    Args:
        probability: float32[N, K].
        label: int32[N].
        bins: B. Tied samples share a bin, so that some bins may be empty; these are left out.

    Niculescu-Mizil & Caruana, "Predicting good probabilities with supervised learning", ICML 2005.

    >>> reliability_points(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1])).accuracy
    array([0.75])
    """
    confidence = probability.max(axis=1, initial=0.0).astype(np.float64)
    right = probability.argmax(axis=1) == label
    bin_of = np.searchsorted(np.sort(confidence), confidence) * bins // max(len(label), 1)
    samples = np.bincount(bin_of, minlength=bins)
    filled = samples > 0
    confidences, rights = (np.bincount(bin_of, values, bins)[filled] for values in (confidence, right))
    return ReliabilityPoints(confidences / samples[filled], rights / samples[filled], samples[filled])


def risk_coverage_points(probability: np.ndarray, label: np.ndarray) -> RiskCoveragePoints:
    """The curve of `bofl_jax.metrics.risk_coverage`, without the repeated points of tied samples.

    Args:
        probability: float32[N, K], N at least 1.
        label: int32[N].

    Geifman & El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017.

    >>> points = risk_coverage_points(np.array([[0.9, 0.1], [0.6, 0.4]], np.float32), np.array([0, 1], np.int32))
    >>> points.coverage.tolist(), points.risk.tolist(), points.area
    ([0.5, 1.0], [0.0, 0.5], 0.25)
    """
    curve = jax.device_get(_curve(probability, label, np.ones(len(label), bool)))
    accepted, first = np.unique(curve.accepted, return_index=True)
    risk = curve.errors[first] / accepted
    new = np.diff(accepted, prepend=0)
    return RiskCoveragePoints(accepted / len(label), risk, float(np.sum(risk * new) / len(label)))


_curve = jax.jit(risk_coverage)
