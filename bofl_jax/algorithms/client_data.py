"""One client's data of a round: the rows that each step draws, with augmentation."""

from typing import NamedTuple

import jax

from bofl_jax.algorithms.base import Batch, LocalData
from bofl_jax.algorithms.sampling import Sampler, take

STREAM = 1 << 30  # further streams of batches fold their keys with numbers that no step has


class ClientTask(NamedTuple):
    """The work of one client in a round; a field gains a leading client axis only under ``vmap``."""

    rows: jax.Array  # int32[Nmax], its rows of the sample pool, padded
    size: jax.Array  # int32, number of rows without padding
    steps: jax.Array  # int32, local steps (fewer for a straggler, 0 for a padded client)
    key: jax.Array  # its key of this round


def local_data(sampler: Sampler, pool: Batch, task: ClientTask, lr: jax.Array) -> LocalData:
    """One client's batches of a round.

    Args:
        sampler: how batches are drawn.
        pool: all samples, ``[N, ...]``.
        task: the client's rows, steps and key.
        lr: float32, learning rate of the round.
    """
    orders: dict[int, jax.Array | None] = {}

    def stream(part: int) -> jax.Array:
        return jax.random.fold_in(task.key, STREAM + part) if part else task.key

    def order(part: int) -> jax.Array | None:
        if part not in orders:
            shuffles = sampler.sampling == "shuffle"
            orders[part] = sampler.order(stream(part), task.size, task.rows.shape[0]) if shuffles else None
        return orders[part]

    def batch(step: jax.Array, part: int) -> Batch:
        draw, change = jax.random.split(jax.random.fold_in(stream(part), step + 1))
        rows = task.rows[sampler.positions(draw, step, task.size, order(part))]
        return sampler.augment(change, take(pool, rows))

    return LocalData(batch, sampler.batch_size, task.steps, lr)
