"""Assigns the samples of a split by Dirichlet(alpha) to as many clients as there are subjects."""

import jax
import numpy as np

from bofl_jax import Samples
from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.partition import PartitionOptions, Population, divide_classes, pack
from bofl_jax.partition.split import split


def dirichlet_population(samples: Samples, options: PartitionOptions, alpha: float, seed: int) -> Population:
    """Assign each class to the clients in proportions p ~ Dirichlet(alpha, ..., alpha).

    The proportions are the same for training and test samples. The package's scheme ``dirichlet`` requires ten training
    samples of each client, which 44 clients never all get at a small alpha. Here a client without any is left out, and
    its share of the test samples goes to the others in proportion: the samples that train and those that are tested are
    the same at every alpha.

    Args:
        samples: the pool of N samples.
        options: options of the split into training and test samples.
        alpha: concentration.
        seed: the run's root seed.

    Li et al., "Federated learning on non-IID data silos: an experimental study", ICDE 2022.
    """
    key = derive(root_key(seed), Purpose.PARTITION)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    parts = split(samples, options, rng)
    shares = rng.dirichlet(np.full(len(samples.subjects), alpha), size=len(samples.classes))  # [K, C]
    training = divide_classes(samples.y, parts.train, shares, rng)
    trains = np.array([len(rows) > 0 for rows in training])
    kept = shares[:, trains] / shares[:, trains].sum(axis=1, keepdims=True)
    testing = divide_classes(samples.y, parts.test, kept, rng)
    train = pack([rows for rows in training if len(rows)])
    names = tuple(f"client-{number:02d}" for number in np.flatnonzero(trains))
    return Population(names, train, pack(testing), train)
