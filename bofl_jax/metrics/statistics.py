"""Means over seeds with their intervals, tests of paired results, and the correction for many tests at once.

NumPy and float64.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bofl_jax.core.errors import BoflError


class SeedMean(NamedTuple):
    """Mean of a number over seeds with its 95 % interval; ends and sd are NaN for fewer than two seeds."""

    mean: float
    sd: float  # divided by n - 1
    low: float
    high: float
    seeds: int  # with a finite value


class Equivalence(NamedTuple):
    """Whether two results are the same up to a margin."""

    difference: float  # mean of the paired differences
    low: float  # ends of the 1 - 2 alpha interval of the difference, which lies within the margin where p < alpha
    high: float
    p: float  # of the hypothesis that the difference is as large as the margin, or larger


def mean_over_seeds(values: Sequence[float] | np.ndarray) -> SeedMean:
    """Mean, standard deviation and 95 % Student interval of the finite values, one a seed.

    >>> mean_over_seeds([0.5, 0.5])
    SeedMean(mean=0.5, sd=0.0, low=0.5, high=0.5, seeds=2)
    >>> mean_over_seeds([0.5])
    SeedMean(mean=0.5, sd=nan, low=nan, high=nan, seeds=1)
    """
    from scipy import stats  # slow to import

    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return SeedMean(float(known[0]) if len(known) else math.nan, math.nan, math.nan, math.nan, len(known))
    mean, sd = float(known.mean()), float(known.std(ddof=1))
    half = float(stats.t.ppf(0.975, len(known) - 1)) * sd / math.sqrt(len(known))
    return SeedMean(mean, sd, mean - half, mean + half, len(known))


def wilcoxon(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test of paired results, one pair for each seed or client.

    It cannot be below ``2 / 2^n``: 0.0625 for 5 pairs, 0.0078 for 8.

    Args:
        one: float[n].
        other: float[n].

    Returns:
        The p-value; 1 when all pairs are equal.

    Raises:
        BoflError: when the results are not pairs.

    Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin, 1945.

    >>> wilcoxon([0.7, 0.8, 0.9, 0.75, 0.85], [0.6, 0.65, 0.7, 0.5, 0.55])
    0.0625
    """
    from scipy import stats  # slow to import

    difference = _differences(one, other)
    return float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0


def holm(p: Sequence[float]) -> np.ndarray:
    r"""Adjust the p-values of m tests by Holm's step-down method.

    The j-th lowest becomes :math:`\max_{i \le j} (m - i + 1) p_{(i)}`, at most 1 (SciPy has Benjamini-Hochberg only).

    Args:
        p: float[m].

    Returns:
        float64[m], in the order of ``p``.

    Raises:
        BoflError: when a p-value is not between 0 and 1.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.

    >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, float)
    if values.ndim != 1 or not np.all((values >= 0) & (values <= 1)):
        raise BoflError(f"holm needs a row of p-values between 0 and 1, not {p}")
    order = np.argsort(values)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return adjusted


def cliffs_delta(one: Sequence[float], other: Sequence[float]) -> float:
    """Cliff's delta, from -1 to 1: how often a first result is above a second one, less how often it is below.

    Args:
        one: float[n].
        other: float[m].

    Raises:
        BoflError: when there is no first or no second result.

    Cliff, "Dominance statistics: ordinal analyses to answer ordinal questions", Psychological Bulletin, 1993.

    >>> cliffs_delta([1, 2, 3], [0, 2])
    0.5
    """
    if not len(one) or not len(other):
        raise BoflError("cliffs_delta compares two rows of results: give at least one result of each")
    return float(np.sign(np.subtract.outer(np.asarray(one, float), np.asarray(other, float))).mean())


def tost(one: Sequence[float], other: Sequence[float], margin: float, alpha: float = 0.05) -> Equivalence:
    """Test that paired results are the same up to a margin: two one-sided t-tests of the mean difference.

    Args:
        one: float[n].
        other: float[n].
        margin: the smallest difference that would matter, above 0.
        alpha: of the test, for the interval.

    Returns:
        Equivalence. If all differences are equal, p is 0 where they are within the margin and 1 where they are not.

    Raises:
        BoflError: when the results are not pairs, there are fewer than two, or the margin is not above 0.

    Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence
    of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics, 1987.

    >>> tost([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], margin=0.002)
    Equivalence(difference=0.0, low=0.0, high=0.0, p=0.0)
    """
    from scipy import stats  # slow to import

    difference = _differences(one, other)
    if len(difference) < 2 or not margin > 0:
        raise BoflError(
            f"tost with {len(difference)} pairs and margin {margin}: give at least 2 pairs, a margin above 0"
        )
    mean = float(difference.mean())
    if np.ptp(difference) == 0:
        return Equivalence(mean, mean, mean, float(abs(mean) >= margin))
    below = stats.ttest_1samp(difference, -margin, alternative="greater").pvalue
    above = stats.ttest_1samp(difference, margin, alternative="less").pvalue
    low, high = stats.ttest_1samp(difference, 0).confidence_interval(1 - 2 * alpha)
    return Equivalence(mean, float(low), float(high), float(max(below, above)))


def _differences(one: Sequence[float], other: Sequence[float]) -> np.ndarray:
    first, second = np.asarray(one, float), np.asarray(other, float)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise BoflError(
            f"results of shapes {first.shape} and {second.shape} are not pairs: give one of each for every seed"
        )
    return np.asarray(first - second)
