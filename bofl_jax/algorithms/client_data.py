"""One client's data of a round: which rows it draws at which step, augmented."""

from typing import NamedTuple

import jax

from bofl_jax.algorithms.base import Batch, LocalData
from bofl_jax.algorithms.sampling import Sampler, take

STREAM = 1 << 30  # further streams of batches: their keys are folded with numbers that no step has


class ClientTask(NamedTuple):
    """What one client has to do; every field gains a leading client axis only under ``vmap``."""

    rows: jax.Array  # int32[Nmax], its rows of the sample pool, padded
    size: jax.Array  # int32, how many of them are real
    steps: jax.Array  # int32, local steps to do (stragglers do fewer; 0 for a padded client)
    key: jax.Array  # its key of this round


def local_data(sampler: Sampler, pool: Batch, work: ClientTask, lr: jax.Array) -> LocalData:
    """One client's batches of a round.

    Args:
        sampler: how batches are drawn.
        pool: all samples, ``[N, ...]``.
        work: whose, how many, and with which key.
        lr: learning rate of this round.
    """
    orders: dict[int, jax.Array | None] = {}

    def stream(part: int) -> jax.Array:
        return jax.random.fold_in(work.key, STREAM + part) if part else work.key

    def order(part: int) -> jax.Array | None:
        if part not in orders:
            shuffles = sampler.sampling == "shuffle"
            orders[part] = sampler.order(stream(part), work.size, work.rows.shape[0]) if shuffles else None
        return orders[part]

    def batch(step: jax.Array, part: int) -> Batch:
        draw, change = jax.random.split(jax.random.fold_in(stream(part), step + 1))
        rows = work.rows[sampler.positions(draw, step, work.size, order(part))]
        return sampler.augment(change, take(pool, rows))

    return LocalData(batch, sampler.batch_size, work.steps, lr)
