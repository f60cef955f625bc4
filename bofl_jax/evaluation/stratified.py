"""Drawing a few samples that stand for many: as many of each class, and of each client, as there can be."""

import jax
import numpy as np

from bofl_jax.core.keys import Purpose, derive


def generator(root: jax.Array, purpose: Purpose, *path: int) -> np.random.Generator:
    """What is drawn from on the host for a purpose of a run."""
    return np.random.default_rng(np.asarray(jax.random.key_data(derive(root, purpose, *path))))


def stratified_sample(rng: np.random.Generator, label: np.ndarray, client: np.ndarray, count: int) -> np.ndarray:
    """Draw samples spread over classes, and those of a class over clients.

    Args:
        rng: what is drawn from.
        label: int[N].
        client: int[N].
        count: how many; all N where there are no more.

    Returns:
        int64[min(count, N)], places of different samples: one of each class, then a second one of each ...

    >>> label, client = np.array([0, 0, 0, 0, 1]), np.array([7, 7, 7, 8, 7])
    >>> found = choose(np.random.default_rng(0), label, client, 3)
    >>> label[found].tolist(), sorted(client[found[label[found] == 0]].tolist())
    ([0, 1, 0], [7, 8])
    """
    mixed = rng.permutation(len(label))
    by_client = mixed[np.argsort(_rank(label[mixed], client[mixed]), kind="stable")]
    turn = _rank(label[by_client], np.zeros_like(label))
    return by_client[np.lexsort((label[by_client], turn))][:count]


def _rank(*columns: np.ndarray) -> np.ndarray:
    """int64[N]: how many of the rows before have the same entries."""
    _, kind = np.unique(np.stack(columns), axis=1, return_inverse=True)
    order = np.argsort(kind, kind="stable")
    rank = np.empty(len(order), np.int64)
    first = np.searchsorted(kind[order], kind[order])
    rank[order] = np.arange(len(order)) - first
    return rank
