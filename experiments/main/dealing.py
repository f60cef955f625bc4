"""The samples of a split dealt out by Dirichlet(alpha) to as many clients as there are subjects."""

import jax
import numpy as np

from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.types import Samples
from bofl_jax.partition import PartitionOptions, Population, pack
from bofl_jax.partition.split import split


def dealt(samples: Samples, options: PartitionOptions, alpha: float, seed: int) -> Population:
    """Deal out each class in proportions p ~ Dirichlet(alpha, ..., alpha), the same for training and test samples.

    The scheme ``dirichlet`` of the package wants ten training samples of every client, which 44 clients never all get
    at a small alpha. Here a client without any is left out, and its share of the test goes to the others in proportion:
    the samples that train and those that test are the same at every alpha.

    Args:
        samples: the pool of N samples.
        options: which of them train, which test.
        alpha: concentration.
        seed: the run's root seed.

    Li et al., "Federated learning on non-IID data silos: an experimental study", ICDE 2022.
    """
    key = derive(root_key(seed), Purpose.PARTITION)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    parts = split(samples, options, rng)
    shares = rng.dirichlet(np.full(len(samples.subjects), alpha), size=len(samples.classes))  # [K, C]
    training = _deal(samples.y, parts.train, shares, rng)
    there = np.array([len(rows) > 0 for rows in training])
    testing = _deal(samples.y, parts.test, shares[:, there] / shares[:, there].sum(axis=1, keepdims=True), rng)
    train = pack([rows for rows in training if len(rows)])
    names = tuple(f"client-{number:02d}" for number in np.flatnonzero(there))
    return Population(names, train, pack(testing), train)


def _deal(y: np.ndarray, part: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut each class (shuffled) at its cumulative shares[K, C]; every sample goes to exactly one client."""
    pieces = []
    for label, share in enumerate(shares):
        members = rng.permutation(part[y[part] == label])
        pieces.append(np.split(members, np.floor(np.cumsum(share)[:-1] * len(members) + 0.5).astype(int)))
    return [np.concatenate(of_client) for of_client in zip(*pieces, strict=True)]
