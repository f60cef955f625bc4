"""One client's whole round: draw, augment, step, as often as it has work to do."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.local.base import Batch, LocalAlgorithm, Params, State
from bofl_jax.local.batches import Sampler, take


class Work(NamedTuple):
    """What one client has to do; every field gains a leading client axis only under ``vmap``."""

    rows: jax.Array  # int32[Nmax], its rows of the sample pool, padded
    size: jax.Array  # int32, how many of them are real
    steps: jax.Array  # int32, local steps to do (stragglers do fewer; 0 for a padded client)
    key: jax.Array  # its key of this round


class WorkInfo(NamedTuple):
    """What explains a client's round."""

    loss: jax.Array  # float32, mean over its steps
    examples: jax.Array  # int32, samples seen


def train(
    algorithm: LocalAlgorithm,
    sampler: Sampler,
    pool: Batch,
    anchor: Params,
    start: State,
    work: Work,
    lr: jax.Array,
) -> tuple[State, WorkInfo]:
    """Run one client's local steps.

    Args:
        pool: all samples, ``[N, ...]``.
        anchor: the server's parameters of this round.
        start: state that the client starts from (fresh from the anchor, or kept from its last round).
        lr: learning rate of this round.

    Returns:
        The client's state after its steps, and what explains it.
    """
    order = None
    if sampler.sampling == "shuffle":
        order = sampler.order(work.key, work.size, work.rows.shape[0])

    def body(step: jax.Array, carry: tuple) -> tuple:
        state, total = carry
        draw, change = jax.random.split(jax.random.fold_in(work.key, step + 1))
        rows = work.rows[sampler.positions(draw, step, work.size, order)]
        state, loss = algorithm.step(state, anchor, sampler.augment(change, take(pool, rows)), lr)
        return state, total + loss

    state, total = jax.lax.fori_loop(0, work.steps, body, (start, jnp.float32(0)))
    info = WorkInfo(total / jnp.maximum(work.steps, 1), work.steps * sampler.batch_size)
    return state, info
