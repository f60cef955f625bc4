"""Metrics of every client from one pooled set of predictions."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import discrimination
from bofl_jax.metrics.arithmetic import Array, check_predictions, count_cells, namespace


class ClientMetrics(NamedTuple):
    """Per-client results; NaN for a client without test samples (``support`` 0)."""

    accuracy: jax.Array  # float32[C]
    macro_f1: jax.Array  # float32[C], mean over the classes that the client has
    support: jax.Array  # int32[C], the client's test samples


def group_confusions(probability: Array, label: Array, group: Array, groups: int, mask: Array | None = None) -> Array:
    """Count the samples of each group (of clients, people, ...) by true class (row) and predicted class (column).

    Args:
        probability: float32[N, K].
        label: int32[N].
        group: int32[N], the group of each sample.
        groups: G, static.
        mask: bool[N], False for padding; all samples count if it is left out.

    Returns:
        int32[G, K, K].

    Raises:
        BoflError: when the shapes do not belong together.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> group_confusions(p, jnp.array([0, 1, 1]), jnp.array([0, 0, 1]), groups=2).tolist()
    [[[1, 0], [1, 0]], [[0, 0], [0, 1]]]
    """
    xp = namespace(probability)
    mask = xp.ones(label.shape, bool) if mask is None else mask
    check_predictions(probability, label=label, group=group, mask=mask)
    classes = probability.shape[1]
    cells = groups * classes * classes
    valid = mask & (group >= 0) & (group < groups) & (label >= 0) & (label < classes)
    cell = xp.where(valid, (group * classes + label) * classes + xp.argmax(probability, axis=1), cells)
    matrices: Array = count_cells(cell, cells).reshape(groups, classes, classes)
    return matrices


@partial(jax.jit, static_argnames="clients")
def client_metrics(
    probability: jax.Array, label: jax.Array, client: jax.Array, clients: int, mask: jax.Array | None = None
) -> ClientMetrics:
    """Measure every client on its own samples.

    One pass counts a confusion matrix per client, and all metrics follow from these matrices. Clients may have any
    number of samples, in any order.

    Args:
        probability: float32[N, K].
        label: int32[N].
        client: int32[N], the client of each sample, ``0 <= client < clients``.
        clients: C, static.
        mask: bool[N], False for padding; all samples count if it is left out.

    Returns:
        ClientMetrics of C clients. ``support > 0`` is the mask to give to ``fairness``.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> measured = client_metrics(p, jnp.array([0, 1, 1]), jnp.array([0, 0, 2]), clients=3)
    >>> measured.accuracy.tolist(), measured.support.tolist()
    ([0.5, nan, 1.0], [2, 0, 1])
    """
    if clients < 1:
        raise BoflError(f"client_metrics needs at least one client, not {clients}")
    check_predictions(probability, label=label, client=client)
    matrices = group_confusions(probability, label, client, clients, mask)
    return ClientMetrics(
        accuracy=discrimination.accuracy(matrices),
        macro_f1=discrimination.macro_f1(matrices),
        support=jnp.sum(matrices, axis=(1, 2)),
    )


class UnseenClassRecall(NamedTuple):
    """Recall of the classes that a client has never trained on."""

    recall: jax.Array  # float32[], NaN without such a test sample
    support: jax.Array  # int32[], number of such test samples


@jax.jit
def unseen_class_recall(
    probability: jax.Array, label: jax.Array, client: jax.Array, seen: jax.Array, mask: jax.Array | None = None
) -> UnseenClassRecall:
    """Recall over the test samples of classes of which their client has no training sample.

    It is 0 for a model that knows only what its own client has shown already.

    Args:
        probability: float32[N, K].
        label: int32[N].
        client: int32[N], the client of each sample.
        seen: bool[C, K], whether a client has training samples of a class.
        mask: bool[N], False for padding; all samples count if it is left out.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> seen = jnp.array([[True, False], [True, True]])
    >>> float(unseen_class_recall(p, jnp.array([0, 1, 1]), jnp.array([0, 0, 1]), seen).recall)
    0.0
    """
    mask = jnp.ones(label.shape, bool) if mask is None else mask
    check_predictions(probability, label=label, client=client, mask=mask)
    if seen.ndim != 2 or seen.shape[1] != probability.shape[1]:
        raise BoflError(f"unseen_class_recall needs seen[C, {probability.shape[1]}], not shape {seen.shape}")
    unseen = mask & ~seen[client, label]
    hits = unseen & (jnp.argmax(probability, axis=1) == label)
    support = jnp.sum(unseen, dtype=jnp.int32)
    recall = jnp.sum(hits) / jnp.maximum(support, 1)
    return UnseenClassRecall(jnp.where(support > 0, recall, jnp.nan), support)
