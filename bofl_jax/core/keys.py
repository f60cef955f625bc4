"""Random keys: every use folds its purpose, round and client into one root key.

No key depends on the order of calls, on chunking or on the number of devices.
"""

from enum import IntEnum

import jax


class Purpose(IntEnum):
    """Purposes of keys. The numbers are part of a run's identity: never renumber them, only append."""

    DATA = 0
    PARTITION = 1
    MODEL = 2
    COHORT = 3
    STRAGGLER = 4
    TRAIN = 5
    PERSONALISE = 6
    INTRUDER = 7
    CHANNEL = 8
    ALTERED = 9
    SYNTHESIS = 10
    EXPLAIN = 11
    CONTRIBUTION = 12


def root_key(seed: int) -> jax.Array:
    """The root key of a run."""
    return jax.random.key(seed)


def derive(root: jax.Array, purpose: Purpose, *path: int | jax.Array) -> jax.Array:
    """Fold a purpose, and then each entry of a path, into the root key.

    Args:
        root: the root key of the run.
        purpose: what the key is for.
        *path: round, client and so on, in this order.
    """
    key = jax.random.fold_in(root, int(purpose))
    for entry in path:
        key = jax.random.fold_in(key, entry)
    return key
