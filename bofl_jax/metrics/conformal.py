"""Split conformal prediction: sets of classes that hold the true class with a chosen probability, for any model.

Nonconformity scores are high for unlikely classes; classes up to a threshold from calibration data form the set:

    scores = lac_scores(p)                                     # or aps_scores, float32[N, K]
    threshold = conformal_threshold(scores, label, mask)       # calibration data
    set_coverage(prediction_sets(lac_scores(q), threshold), label_q, mask_q)

On the pooled samples of all clients, ``conformal_threshold`` is federated calibration: it needs only the clients'
scores. ``client_thresholds`` calibrates each client on its own samples.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.arithmetic import check_predictions, ratio
from bofl_jax.metrics.scores import floor_share

ALPHA = 0.1


class SetCoverage(NamedTuple):
    """Coverage and size of prediction sets; NaN without samples (of the class)."""

    coverage: jax.Array  # float32[], share of the samples whose set holds the true class
    size: jax.Array  # float32[], mean number of classes in a set
    class_coverage: jax.Array  # float32[K], coverage of the samples of each class


def lac_scores(probability: jax.Array) -> jax.Array:
    """Score of the least ambiguous classifier, ``1 - p_k``: float32[N, K] from float32[N, K]; smallest sets on average.

    Sadinle, Lei & Wasserman, "Least ambiguous set-valued classifiers with bounded error levels", JASA, 2019.

    >>> lac_scores(jnp.array([[0.75, 0.25]])).tolist()
    [[0.25, 0.75]]
    """
    return 1 - probability


def aps_scores(probability: jax.Array) -> jax.Array:
    """Score of adaptive prediction sets: the total probability of all classes that are at least as probable as k.

    Ties are not broken at random, so that a set is never empty and the coverage is at least the chosen one.

    Args:
        probability: float32[N, K].

    Returns:
        float32[N, K].

    Romano, Sesia & Candès, "Classification with valid and adaptive coverage", NeurIPS 2020.

    >>> aps_scores(jnp.array([[0.5, 0.125, 0.375]])).tolist()
    [[0.5, 1.0, 0.875]]
    """
    at_least = probability[..., None, :] >= probability[..., :, None]
    return jnp.sum(jnp.where(at_least, probability[..., None, :], 0.0), axis=-1) + 0.0 * probability


def conformal_threshold(scores: jax.Array, label: jax.Array, mask: jax.Array, alpha: float = ALPHA) -> jax.Array:
    r"""The threshold below which the true class's score of a new sample lies with probability :math:`1 - \alpha`.

    For n calibration samples it is the :math:`\lceil (n + 1)(1 - \alpha) \rceil`-th lowest score of the true class. It
    is infinite (sets of all classes) for n below :math:`1 / \alpha - 1`. The guarantee needs new samples that are
    exchangeable with the calibration samples; beats of other patients are not.

    Args:
        scores: float32[N, K].
        label: int32[N].
        mask: bool[N].
        alpha: the share of sets that may miss the true class, static.

    Returns:
        float32[]; a NaN score counts as infinite.

    Raises:
        BoflError: when the shapes do not belong together, or alpha is not between 0 and 1.

    Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", Springer, 2005; Papadopoulos et al., "Inductive
    confidence machines for regression", ECML 2002.

    >>> scores = lac_scores(jnp.array([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]]))
    >>> float(conformal_threshold(scores, jnp.zeros(3, int), jnp.ones(3, bool), alpha=0.5))
    0.25
    >>> float(conformal_threshold(scores, jnp.zeros(3, int), jnp.ones(3, bool), alpha=0.1))
    inf
    """
    check_predictions(scores, label=label, mask=mask)
    return _quantile(_at_label(scores, label), mask, alpha)


def class_thresholds(scores: jax.Array, label: jax.Array, mask: jax.Array, alpha: float = ALPHA) -> jax.Array:
    """Class-conditional (Mondrian) thresholds: each class is calibrated on its own samples.

    Args:
        scores: float32[N, K].
        label: int32[N].
        mask: bool[N].
        alpha: the share of the samples of each class whose set may miss it, static.

    Returns:
        float32[K]; infinite for a class that has too few samples, which is then in every set.

    Raises:
        BoflError: when the shapes do not belong together, or alpha is not between 0 and 1.

    Vovk, "Conditional validity of inductive conformal predictors", ACML 2012.

    >>> scores = lac_scores(jnp.array([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]]))
    >>> class_thresholds(scores, jnp.array([0, 0, 1]), jnp.ones(3, bool), alpha=0.5).tolist()
    [0.5, 1.0]
    """
    check_predictions(scores, label=label, mask=mask)
    of_class = mask & (label == jnp.arange(scores.shape[1])[:, None])
    thresholds: jax.Array = jax.vmap(_quantile, in_axes=(1, 0, None))(scores, of_class, alpha)
    return thresholds


def client_thresholds(
    scores: jax.Array, label: jax.Array, mask: jax.Array, client: jax.Array, clients: int, alpha: float = ALPHA
) -> jax.Array:
    """``conformal_threshold`` of each client on its own samples; ``threshold[client]`` is the threshold of each sample.

    Args:
        scores: float32[N, K].
        label: int32[N].
        mask: bool[N].
        client: int32[N], the client of each sample.
        clients: C, static.
        alpha: the share of sets that may miss the true class, static.

    Returns:
        float32[C]; infinite for a client with too few samples.

    Raises:
        BoflError: when the shapes do not belong together, or alpha is not between 0 and 1.

    >>> scores = lac_scores(jnp.array([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0]]))
    >>> client_thresholds(scores, jnp.zeros(3, int), jnp.ones(3, bool), jnp.array([0, 0, 1]), 3, alpha=0.5).tolist()
    [0.5, 0.0, inf]
    """
    check_predictions(scores, label=label, mask=mask, client=client)
    of_client = mask & (client == jnp.arange(clients)[:, None])
    thresholds: jax.Array = jax.vmap(_quantile, in_axes=(None, 0, None))(_at_label(scores, label), of_client, alpha)
    return thresholds


def prediction_sets(scores: jax.Array, threshold: jax.Array) -> jax.Array:
    """The classes whose score is not above the threshold; a class with a NaN score is kept.

    Args:
        scores: float32[N, K].
        threshold: float32[] (one for all), float32[K] (one for each class) or float32[N, 1] (one for each sample).

    Returns:
        bool[N, K].

    >>> prediction_sets(jnp.array([[0.25, 0.75], [0.5, 0.5]]), jnp.float32(0.5)).tolist()
    [[True, False], [True, True]]
    """
    return ~(scores > threshold)


def set_coverage(sets: jax.Array, label: jax.Array, mask: jax.Array) -> SetCoverage:
    """Measure prediction sets on test data.

    Args:
        sets: bool[N, K].
        label: int32[N].
        mask: bool[N].

    Returns:
        Coverage.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> measured = set_coverage(jnp.array([[True, False], [True, True]]), jnp.array([1, 0]), jnp.ones(2, bool))
    >>> float(measured.coverage), float(measured.size), measured.class_coverage.tolist()
    (0.5, 1.5, [1.0, 0.0])
    """
    check_predictions(sets, label=label, mask=mask)
    of_class = mask[:, None] & (label[:, None] == jnp.arange(sets.shape[1]))
    samples, hits = jnp.sum(mask, dtype=jnp.int32), jnp.sum(of_class & sets, axis=0, dtype=jnp.int32)
    return SetCoverage(
        coverage=ratio(jnp.sum(hits), samples),
        size=ratio(jnp.sum(mask[:, None] & sets, dtype=jnp.int32), samples),
        class_coverage=ratio(hits, jnp.sum(of_class, axis=0, dtype=jnp.int32)),
    )


def _at_label(scores: jax.Array, label: jax.Array) -> jax.Array:
    """float32[N]: each sample's score of its true class."""
    return jnp.take_along_axis(scores, label[:, None], axis=1, mode="clip")[:, 0]


def _quantile(score: jax.Array, mask: jax.Array, alpha: float) -> jax.Array:
    """float32[]: the ceil((n + 1)(1 - alpha))-th lowest of the n scores where ``mask`` holds, or infinity."""
    if not 0 < alpha < 1:
        raise BoflError(f"alpha is {alpha}: give a share between 0 and 1, for example 0.1 to miss 1 class in 10")
    count = jnp.sum(mask, dtype=jnp.int32)
    rank = count + 1 - floor_share(count + 1, alpha)
    ordered = jnp.sort(jnp.where(mask & ~jnp.isnan(score), score, jnp.inf))
    padded = jnp.append(ordered, jnp.inf)
    return jnp.where(rank <= count, padded[jnp.minimum(rank, len(padded)) - 1], jnp.inf)
