"""Random keys: one root, and every use folded by purpose, round and client.

No key depends on the order of calls, on chunking or on the number of devices.
"""

from enum import IntEnum

import jax


class Purpose(IntEnum):
    """What a key is for. Values are part of a run's identity: never renumber, only append."""

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
    """The root of a run's keys."""
    return jax.random.key(seed)


def derive(root: jax.Array, purpose: Purpose, *path: int | jax.Array) -> jax.Array:
    """Fold ``purpose`` and then each entry of ``path`` (round, client ...) into the root key."""
    key = jax.random.fold_in(root, int(purpose))
    for entry in path:
        key = jax.random.fold_in(key, entry)
    return key
