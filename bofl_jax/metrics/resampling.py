"""Intervals and tests of differences, by resampling people and seeds.

People are resampled, not beats: the beats of one patient resemble each other, and an interval over beats is several
times too narrow. The matrices of a row of a table are int[S, P, K, K], one confusion matrix for each of S seeds and P
people (the clients of one person added up). Two rows that are compared have the same seeds and people, in order.
NumPy and float64.
"""

import functools
import warnings
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.protocols import MatrixMetric

RESAMPLES = 2000
PERMUTATIONS = 4999
LEVEL = 0.95
_BATCH = 500


class Statistic(Protocol):
    """A statistic of resampled people and seeds."""

    def __call__(self, people: np.ndarray, seeds: np.ndarray, /) -> np.ndarray:
        """Compute it for B draws at once.

        Args:
            people: int[B, P], how often each person was drawn.
            seeds: int[B, S], how often each seed was drawn.

        Returns:
            float[B].
        """
        ...


class Interval(NamedTuple):
    """A statistic and its percentile interval."""

    estimate: float  # with every person and seed drawn once
    low: float
    high: float
    undefined: int  # draws in which the statistic was NaN; they are left out of the interval


def map_matrices(metric: MatrixMetric, matrices: np.ndarray) -> np.ndarray:
    """Measure each of many confusion matrices, in one program that is compiled once for a shape.

    Args:
        metric: of one matrix; its result may have any shape.
        matrices: int[..., K, K].

    Returns:
        float64[...], or float64[..., *shape of one result].

    >>> from bofl_jax.metrics import accuracy
    >>> map_matrices(accuracy, np.array([[[3, 1], [0, 0]], [[2, 0], [0, 2]]])).tolist()
    [0.75, 1.0]
    """
    flat = np.asarray(matrices, np.int32).reshape(-1, *matrices.shape[-2:])
    found = np.asarray(_compiled(metric)(flat), np.float64)  # type: ignore[arg-type]  # functions are hashable
    return found.reshape(*matrices.shape[:-2], *found.shape[1:])


def resampled_metric(metric: MatrixMetric, matrices: np.ndarray, reference: np.ndarray | None = None) -> Statistic:
    """The statistic "metric of all people together, averaged over the seeds", or a difference of two of them.

    Args:
        metric: of one confusion matrix.
        matrices: int[S, P, K, K].
        reference: int[S, P, K, K] of the row that is subtracted, or None.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> from bofl_jax.metrics import accuracy
    >>> statistic = resampled_metric(accuracy, np.array([[[[3, 1], [0, 0]], [[2, 0], [0, 2]]]]))
    >>> statistic(np.array([[1, 1], [0, 2]]), np.array([[1], [1]])).tolist()
    [0.875, 1.0]
    """
    rows = [matrices] if reference is None else [matrices, reference]
    for row in rows:
        if row.ndim != 4 or row.shape != matrices.shape:
            raise BoflError(
                f"matrices have shapes {matrices.shape} and {row.shape}: give [S, P, K, K], one for all rows"
            )

    def statistic(people: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        by_seed = [map_matrices(metric, np.einsum("bp,spij->bsij", people, row, optimize=True)) for row in rows]
        means = [np.sum(np.where(seeds > 0, seeds * found, 0), axis=1) / seeds.sum(axis=1) for found in by_seed]
        return np.asarray(means[0] if reference is None else means[0] - means[1])

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

    Every call with one ``seed`` draws the same people and seeds, so that the difference of two rows is paired. With
    ``draw_seeds=False`` (or one seed) every draw holds every seed once, and the interval is one over people only.

    Args:
        statistic: of the numbers of draws; `resampled_metric` makes one from confusion matrices. A statistic of the
            samples themselves (AUROC) can use the numbers of draws as sample weights.
        people: P.
        seeds: S.
        draw_seeds: whether seeds are resampled too.
        resamples: B, number of draws.
        level: of the interval.
        seed: of the draws.

    Raises:
        BoflError: with fewer than two people.

    Davison & Hinkley, "Bootstrap methods and their application", Cambridge University Press, 1997, section 3.8; crossed
    clusters as in Owen, "The pigeonhole bootstrap", Annals of Applied Statistics, 2007.

    >>> from bofl_jax.metrics import accuracy
    >>> matrices = np.array([[[[9, 1], [0, 0]], [[5, 5], [0, 0]], [[8, 2], [0, 0]]]])
    >>> interval = clustered_bootstrap(resampled_metric(accuracy, matrices), people=3)
    >>> round(interval.estimate, 4), round(interval.low, 4), round(interval.high, 4)
    (0.7333, 0.5, 0.9)
    """
    from scipy import stats  # slow to import

    if people < 2 or seeds < 1:
        raise BoflError(f"a bootstrap over {people} people and {seeds} seeds: give at least 2 people and 1 seed")
    draw_seeds = draw_seeds and seeds > 1

    def of_draws(drawn: np.ndarray, *drawn_seeds: np.ndarray, axis: int = -1) -> np.ndarray:
        del axis  # always the last
        counts = _draw_counts(drawn_seeds[0], seeds) if drawn_seeds else np.ones((*drawn.shape[:-1], seeds), int)
        found = statistic(_draw_counts(drawn, people).reshape(-1, people), counts.reshape(-1, seeds))
        return found.reshape(drawn.shape[:-1])

    indices = (np.arange(people), np.arange(seeds))[: 1 + draw_seeds]
    options = {"n_resamples": resamples, "method": "percentile", "vectorized": True, "batch": _BATCH}
    with warnings.catch_warnings():  # SciPy warns of NaN draws, which are counted below
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(indices, of_draws, **options, rng=np.random.default_rng(seed)).bootstrap_distribution
    ends = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2]) if np.isfinite(found).any() else [np.nan, np.nan]
    estimate = statistic(np.ones((1, people), int), np.ones((1, seeds), int))[0]
    return Interval(float(estimate), float(ends[0]), float(ends[1]), int(np.isnan(found).sum()))


def resampled_people(matrices: np.ndarray) -> np.ndarray:
    """The added confusion matrices of bootstrap draws of people.

    Args:
        matrices: int64[P, K, K], one for each person.

    Returns:
        int64[RESAMPLES, K, K], one for each draw of P people with replacement.

    Efron & Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall, 1993, chapter 13.
    """
    people = len(matrices)
    draws = np.random.default_rng(0).multinomial(people, np.full(people, 1 / people), RESAMPLES)
    # Integers below 2^53 are exact in float64, which has the fast matrix product.
    return np.tensordot(draws.astype(np.float64), matrices.astype(np.float64), axes=1).astype(np.int64)


def percentile_ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 2.5th and 97.5th percentile over the defined ones of draws float64[B, ...]; NaN where none is defined."""
    never = np.isnan(values).all(axis=0)
    low, high = np.nanpercentile(np.where(never, 0.0, values), [2.5, 97.5], axis=0)
    return np.where(never, np.nan, low), np.where(never, np.nan, high)


def paired_permutation(
    metric: MatrixMetric,
    matrices: np.ndarray,
    reference: np.ndarray,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    """Two-sided p-value of a difference, by exchanging the two results of each person at random.

    Args:
        metric: of one confusion matrix; its means over the seeds are compared.
        matrices: int[S, P, K, K].
        reference: int[S, P, K, K].
        permutations: number of random exchanges; if no more exchanges exist, each is made once.
        seed: of the exchanges.

    Raises:
        BoflError: when the shapes do not belong together.

    Good, "Permutation, parametric and bootstrap tests of hypotheses", Springer, 2005.

    >>> from bofl_jax.metrics import accuracy
    >>> worse, better = (np.array([[[[hits, 10 - hits], [0, 0]]] * 6]) for hits in (5, 8))
    >>> paired_permutation(accuracy, better, worse) == 2 / 2**6
    True
    """
    from scipy import stats  # slow to import

    if matrices.shape != reference.shape:
        raise BoflError(f"shapes {matrices.shape} and {reference.shape} are not paired: give the same people and seeds")
    seeds, people = matrices.shape[:2]
    statistic = resampled_metric(metric, np.concatenate([matrices, reference], axis=1))

    def difference(chosen: np.ndarray, others: np.ndarray, axis: int = -1) -> np.ndarray:
        del axis  # always the last
        counts = [_draw_counts(index, 2 * people).reshape(-1, 2 * people) for index in (chosen, others)]
        first, second = (statistic(of_row, np.ones((len(of_row), seeds), int)) for of_row in counts)
        return np.asarray(first - second).reshape(chosen.shape[:-1])

    sides = (np.arange(people), np.arange(people, 2 * people))
    options = {"permutation_type": "samples", "n_resamples": permutations, "vectorized": True, "batch": _BATCH}
    return float(stats.permutation_test(sides, difference, **options, rng=np.random.default_rng(seed)).pvalue)


@functools.cache
def _compiled(metric: MatrixMetric) -> Callable[[np.ndarray], jax.Array]:
    return jax.jit(jax.vmap(metric))


def _draw_counts(drawn: np.ndarray, size: int) -> np.ndarray:
    """int[..., size]: how often each of ``size`` indices occurs in drawn[..., n]."""
    flat = drawn.reshape(-1, drawn.shape[-1]).astype(int)
    cell = flat + size * np.arange(len(flat))[:, None]
    return np.bincount(cell.ravel(), minlength=size * len(flat)).reshape(*drawn.shape[:-1], size)
