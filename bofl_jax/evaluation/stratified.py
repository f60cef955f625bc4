"""Stratified sampling: as many samples of each class, and of each client, as possible."""

import jax
import numpy as np

from bofl_jax.core.keys import Purpose, derive


def host_generator(root: jax.Array, purpose: Purpose, *path: int) -> np.random.Generator:
    """The NumPy generator for one purpose of a run.

    Args:
        root: root key of the run.
        purpose: what the random numbers are for.
        path: further integers that tell generators of one purpose apart.
    """
    return np.random.default_rng(np.asarray(jax.random.key_data(derive(root, purpose, *path))))


def stratified_sample(rng: np.random.Generator, label: np.ndarray, client: np.ndarray, count: int) -> np.ndarray:
    """Draw samples that are spread evenly over classes and, within a class, over clients.

    Args:
        rng: source of randomness.
        label: int[N].
        client: int[N].
        count: number of samples; all N if there are no more.

    Returns:
        int64[min(count, N)], indices without repetition: one sample of each class, then a second one of each ...

    >>> label, client = np.array([0, 0, 0, 0, 1]), np.array([7, 7, 7, 8, 7])
    >>> found = stratified_sample(np.random.default_rng(0), label, client, 3)
    >>> label[found].tolist(), sorted(client[found[label[found] == 0]].tolist())
    ([0, 1, 0], [7, 8])
    """
    shuffled = rng.permutation(len(label))
    by_client = shuffled[np.argsort(_rank(label[shuffled], client[shuffled]), kind="stable")]
    rank_in_class = _rank(label[by_client], np.zeros_like(label))
    return by_client[np.lexsort((label[by_client], rank_in_class))][:count]


def _rank(*columns: np.ndarray) -> np.ndarray:
    """int64[N]: how many of the rows before have the same entries."""
    _, group = np.unique(np.stack(columns), axis=1, return_inverse=True)
    order = np.argsort(group, kind="stable")
    rank = np.empty(len(order), np.int64)
    first = np.searchsorted(group[order], group[order])
    rank[order] = np.arange(len(order)) - first
    return rank
