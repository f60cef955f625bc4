"""What chance may do to a result: intervals over people and seeds, tests of differences, many tests at once.

People are drawn anew, not beats: the beats of one patient resemble each other, and an interval over beats is several
times too narrow. The matrices of a row of a table are int[S, P, K, K], the confusion matrix of each of S seeds and P
people (the clients of one person added up); two rows that are compared have the same seeds and people, in order.
NumPy and float64.
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from scipy import stats

from bofl_jax.core.errors import BoflError

Metric = Callable[[jax.Array], jax.Array]
"""A number float32[] of one confusion matrix int32[K, K]: ``macro_f1``, say."""
Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""float[B] from how often each person, int[B, P], and each seed, int[B, S], is drawn in B draws."""

RESAMPLES, PERMUTATIONS = 2000, 4999
LEVEL = 0.95
_BATCH = 500


class Interval(NamedTuple):
    """A statistic and its percentile interval."""

    estimate: float  # with everyone drawn once
    low: float
    high: float
    undefined: int  # draws in which the statistic was NaN; they are left out of the interval


class Equivalence(NamedTuple):
    """Whether two results are the same up to a margin."""

    difference: float  # mean of the paired differences
    low: float  # ends of the 1 - 2 alpha interval of the difference, which lies within the margin where p < alpha
    high: float
    p: float  # of the hypothesis that the difference is as large as the margin, or larger


def of_matrices(metric: Metric, matrices: np.ndarray) -> np.ndarray:
    """Measure each of many confusion matrices, compiled once for a shape.

    Args:
        metric: of one matrix; what it gives may have any shape.
        matrices: int[..., K, K].

    Returns:
        float64[...], or float64[..., *shape of one result].

    >>> from bofl_jax.evaluate import accuracy
    >>> of_matrices(accuracy, np.array([[[3, 1], [0, 0]], [[2, 0], [0, 2]]])).tolist()
    [0.75, 1.0]
    """
    flat = np.asarray(matrices, np.int32).reshape(-1, *matrices.shape[-2:])
    found = np.asarray(_compiled(metric)(flat), np.float64)
    return found.reshape(*matrices.shape[:-2], *found.shape[1:])


def over_people(metric: Metric, one: np.ndarray, other: np.ndarray | None = None) -> Statistic:
    """The statistic "mean over the seeds of a metric of all people together", less another row's where it is given.

    Args:
        metric: of one confusion matrix.
        one: int[S, P, K, K].
        other: int[S, P, K, K] of the row that is taken off.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> from bofl_jax.evaluate import accuracy
    >>> statistic = over_people(accuracy, np.array([[[[3, 1], [0, 0]], [[2, 0], [0, 2]]]]))
    >>> statistic(np.array([[1, 1], [0, 2]]), np.array([[1], [1]])).tolist()
    [0.875, 1.0]
    """
    rows = [one] if other is None else [one, other]
    for row in rows:
        if row.ndim != 4 or row.shape != one.shape:
            raise BoflError(f"matrices have shapes {one.shape} and {row.shape}: give [S, P, K, K], one for all rows")

    def statistic(people: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        by_seed = [of_matrices(metric, np.einsum("bp,spij->bsij", people, row, optimize=True)) for row in rows]
        means = [np.sum(np.where(seeds > 0, seeds * found, 0), axis=1) / seeds.sum(axis=1) for found in by_seed]
        return means[0] if other is None else means[0] - means[1]

    return statistic


def clustered_bootstrap(
    statistic: Statistic,
    people: int,
    seeds: int = 1,
    draw_seeds: bool = True,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over people and, independently of them, over seeds.

    Every call with one ``seed`` draws the same people and seeds: the difference of two rows is paired. With
    ``draw_seeds=False`` (or one seed) every seed is there once in every draw, and the interval is one over people only.

    Args:
        statistic: of how often people and seeds are drawn; ``over_people`` makes one from confusion matrices. One that
            needs the samples themselves (AUROC) can take the numbers as sample weights.
        people: P.
        seeds: S.
        draw_seeds: whether seeds are drawn too.
        resamples: B, draws.
        level: of the interval.
        seed: of the draws.

    Raises:
        BoflError: with fewer than two people.

    Davison & Hinkley, "Bootstrap methods and their application", Cambridge University Press, 1997, section 3.8; crossed
    clusters as in Owen, "The pigeonhole bootstrap", Annals of Applied Statistics, 2007.

    >>> from bofl_jax.evaluate import accuracy
    >>> matrices = np.array([[[[9, 1], [0, 0]], [[5, 5], [0, 0]], [[8, 2], [0, 0]]]])
    >>> interval = clustered_bootstrap(over_people(accuracy, matrices), people=3)
    >>> round(interval.estimate, 4), round(interval.low, 4), round(interval.high, 4)
    (0.7333, 0.5, 0.9)
    """
    if people < 2 or seeds < 1:
        raise BoflError(f"a bootstrap over {people} people and {seeds} seeds: give at least 2 people and 1 seed")
    draw_seeds = draw_seeds and seeds > 1

    def of_draws(who: np.ndarray, *which: np.ndarray, axis: int = -1) -> np.ndarray:
        del axis  # always the last
        often = _often(which[0], seeds) if which else np.ones((*who.shape[:-1], seeds), int)
        return statistic(_often(who, people).reshape(-1, people), often.reshape(-1, seeds)).reshape(who.shape[:-1])

    drawn = (np.arange(people), np.arange(seeds))[: 1 + draw_seeds]
    settings = {"n_resamples": resamples, "method": "percentile", "vectorized": True, "batch": _BATCH}
    with warnings.catch_warnings():  # SciPy warns of NaN draws, which are counted below
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(drawn, of_draws, **settings, rng=np.random.default_rng(seed)).bootstrap_distribution
    ends = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2]) if np.isfinite(found).any() else [np.nan, np.nan]
    estimate = statistic(np.ones((1, people), int), np.ones((1, seeds), int))[0]
    return Interval(float(estimate), float(ends[0]), float(ends[1]), int(np.isnan(found).sum()))


def paired_permutation(
    metric: Metric, one: np.ndarray, other: np.ndarray, permutations: int = PERMUTATIONS, seed: int = 0
) -> float:
    """Two-sided p-value of a difference: for every person, which result belongs to which row is tossed anew.

    Args:
        metric: of one confusion matrix; its mean over the seeds is compared.
        one: int[S, P, K, K].
        other: int[S, P, K, K].
        permutations: tosses; all of them are made when there are no more than that.
        seed: of the tosses.

    Raises:
        BoflError: when the shapes do not belong together.

    Good, "Permutation, parametric and bootstrap tests of hypotheses", Springer, 2005.

    >>> from bofl_jax.evaluate import accuracy
    >>> worse, better = (np.array([[[[hits, 10 - hits], [0, 0]]] * 6]) for hits in (5, 8))
    >>> paired_permutation(accuracy, better, worse) == 2 / 2**6
    True
    """
    if one.shape != other.shape:
        raise BoflError(f"shapes {one.shape} and {other.shape} are not paired: give the same people and seeds")
    seeds, people = one.shape[:2]
    statistic = over_people(metric, np.concatenate([one, other], axis=1))

    def difference(mine: np.ndarray, yours: np.ndarray, axis: int = -1) -> np.ndarray:
        del axis  # always the last
        often = [_often(index, 2 * people).reshape(-1, 2 * people) for index in (mine, yours)]
        first, second = (statistic(of_row, np.ones((len(of_row), seeds), int)) for of_row in often)
        return (first - second).reshape(mine.shape[:-1])

    sides = (np.arange(people), np.arange(people, 2 * people))
    settings = {"permutation_type": "samples", "n_resamples": permutations, "vectorized": True, "batch": _BATCH}
    return float(stats.permutation_test(sides, difference, **settings, rng=np.random.default_rng(seed)).pvalue)


def wilcoxon(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test of paired results: one a seed, or one a client.

    It cannot be below ``2 / 2^n``: 0.0625 for 5 pairs, 0.0078 for 8.

    Args:
        one: float[n].
        other: float[n].

    Returns:
        The p-value; 1 when all pairs are equal.

    Raises:
        BoflError: when the two are not pairs.

    Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin, 1945.

    >>> wilcoxon([0.7, 0.8, 0.9, 0.75, 0.85], [0.6, 0.65, 0.7, 0.5, 0.55])
    0.0625
    """
    difference = _differences(one, other)
    return float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0


def holm(p: Sequence[float]) -> np.ndarray:
    r"""Adjust the p-values of m tests made together, by Holm's step-down method.

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
        raise BoflError(f"holm needs p-values between 0 and 1 in a row, not {p}")
    order = np.argsort(values)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return adjusted


def cliffs_delta(one: Sequence[float], other: Sequence[float]) -> float:
    """How often a result of the first row is above one of the second, less how often below: from -1 to 1.

    Args:
        one: float[n].
        other: float[m].

    Raises:
        BoflError: when one is empty.

    Cliff, "Dominance statistics: ordinal analyses to answer ordinal questions", Psychological Bulletin, 1993.

    >>> cliffs_delta([1, 2, 3], [0, 2])
    0.5
    """
    if not len(one) or not len(other):
        raise BoflError("cliffs_delta compares two rows: give at least one result of each")
    return float(np.sign(np.subtract.outer(np.asarray(one, float), np.asarray(other, float))).mean())


def tost(one: Sequence[float], other: Sequence[float], margin: float, alpha: float = 0.05) -> Equivalence:
    """Test that paired results are the same up to a margin: two one-sided t-tests of the mean difference.

    Args:
        one: float[n].
        other: float[n].
        margin: the smallest difference that would matter, above 0.
        alpha: of the test, for the interval.

    Returns:
        Equivalence; p is 0 (or 1) when all differences are one number within the margin (or not).

    Raises:
        BoflError: when the two are not pairs, there are fewer than two, or the margin is not above 0.

    Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence
    of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics, 1987.

    >>> tost([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], margin=0.002)
    Equivalence(difference=0.0, low=0.0, high=0.0, p=0.0)
    """
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


@functools.cache
def _compiled(metric: Metric) -> Callable:
    return jax.jit(jax.vmap(metric))


def _often(drawn: np.ndarray, size: int) -> np.ndarray:
    """int[..., size]: how often each of ``size`` stands in drawn[..., n]."""
    flat = drawn.reshape(-1, drawn.shape[-1]).astype(int)
    cell = flat + size * np.arange(len(flat))[:, None]
    return np.bincount(cell.ravel(), minlength=size * len(flat)).reshape(*drawn.shape[:-1], size)


def _differences(one: Sequence[float], other: Sequence[float]) -> np.ndarray:
    first, second = np.asarray(one, float), np.asarray(other, float)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise BoflError(f"results of shapes {first.shape} and {second.shape} are not pairs: give one of each a seed")
    return first - second
