"""Metrics of every client from one pooled set of predictions."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import discrimination
from bofl_jax.metrics.arithmetic import check_predictions


class ClientMetrics(NamedTuple):
    """Per-client results; NaN for a client without test samples (``support`` 0)."""

    accuracy: jax.Array  # float32[C]
    macro_f1: jax.Array  # float32[C], mean over the classes that the client has
    support: jax.Array  # int32[C], the client's test samples


def confusions(
    probability: jax.Array, label: jax.Array, client: jax.Array, clients: int, mask: jax.Array | None = None
) -> jax.Array:
    """Count every client's samples by true class (row) and predicted class (column), in one scatter over the samples.

    Args:
        probability: float32[N, K].
        label: int32[N].
        client: int32[N], whose sample it is.
        clients: C, static.
        mask: bool[N], False for padding; all samples count when it is left out.

    Returns:
        int32[C, K, K].

    Raises:
        BoflError: when the shapes do not belong together.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> confusions(p, jnp.array([0, 1, 1]), jnp.array([0, 0, 1]), clients=2).tolist()
    [[[1, 0], [1, 0]], [[0, 0], [0, 1]]]
    """
    mask = jnp.ones(label.shape, bool) if mask is None else mask
    check_predictions(probability, label=label, client=client, mask=mask)
    classes = probability.shape[1]
    valid = mask & (client >= 0) & (client < clients) & (label >= 0) & (label < classes)
    row = jnp.where(valid, client, clients)
    counts = jnp.zeros((clients, classes, classes), jnp.int32)
    return counts.at[row, label, jnp.argmax(probability, axis=1)].add(1, mode="drop")


@partial(jax.jit, static_argnames="clients")
def client_metrics(
    probability: jax.Array, label: jax.Array, client: jax.Array, clients: int, mask: jax.Array | None = None
) -> ClientMetrics:
    """Measure every client on its own samples.

    One pass counts a confusion matrix per client; the metrics of one matrix are then vmapped over the clients. Clients
    may have any number of samples, in any order.

    Args:
        probability: float32[N, K].
        label: int32[N].
        client: int32[N], whose sample it is, ``0 <= client < clients``.
        clients: C, static.
        mask: bool[N], False for padding; all samples count when it is left out.

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
    matrices = confusions(probability, label, client, clients, mask)
    return ClientMetrics(
        accuracy=jax.vmap(discrimination.accuracy)(matrices),
        macro_f1=jax.vmap(discrimination.macro_f1)(matrices),
        support=jnp.sum(matrices, axis=(1, 2)),
    )


class Unseen(NamedTuple):
    """How classes fare that a client has never trained on."""

    unseen_class_recall: jax.Array  # float32[], NaN without such a sample
    unseen_class_support: jax.Array  # int32[], test samples


@jax.jit
def unseen_class_recall(
    probability: jax.Array, label: jax.Array, client: jax.Array, seen: jax.Array, mask: jax.Array | None = None
) -> Unseen:
    """The share of test samples recognised among those of a class that their client has no training sample of.

    A model that only serves its own client's habits gets 0: what a patient has not shown yet is missed.

    Args:
        probability: float32[N, K].
        label: int32[N].
        client: int32[N], whose sample it is.
        seen: bool[C, K], whether a client has training samples of a class.
        mask: bool[N], False for padding; all samples count when it is left out.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> p = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> seen = jnp.array([[True, False], [True, True]])
    >>> float(unseen_class_recall(p, jnp.array([0, 1, 1]), jnp.array([0, 0, 1]), seen).unseen_class_recall)
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
    return Unseen(jnp.where(support > 0, recall, jnp.nan), support)
