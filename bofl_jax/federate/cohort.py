"""Who takes part in a round, and how much each one does."""

from typing import NamedTuple

import jax
import numpy as np

from bofl_jax.core.keys import Purpose, derive
from bofl_jax.federate.options import FederationOptions, SharedOptions, TrainingOptions
from bofl_jax.partition import Rows


class Cohort(NamedTuple):
    """The M clients of a round, in the order of their index."""

    client: np.ndarray  # int32[M]
    steps: np.ndarray  # int32[M], local steps; 0 when dropped
    weight: np.ndarray  # float32[M], training samples; 0 when dropped


def full_steps(options: TrainingOptions, size: np.ndarray) -> np.ndarray:
    """int32[C]: a full round's local steps of clients with ``size`` int32[C] samples."""
    if options.local_steps is not None:
        return np.full(len(size), options.local_steps, np.int32)
    return np.ceil(size * (options.local_epochs or 0) / options.batch_size).astype(np.int32)


def draw(options: FederationOptions, training: Rows, root: jax.Array, round_number: int) -> Cohort:
    """Draw the cohort of a round.

    Stragglers do a number of steps drawn from 1 ... full - 1; with ``straggler_policy = "drop"`` their work is left
    out (Li et al., MLSys 2020, section 5.2).
    """
    clients = np.flatnonzero(training.size)
    shared = options if isinstance(options, SharedOptions) else None
    count = shared.cohort if shared and shared.cohort else len(clients)
    if count < len(clients):
        clients = np.sort(_generator(root, Purpose.COHORT, round_number).permutation(clients)[:count])
    steps = full_steps(options, training.size[clients])
    weight = training.size[clients].astype(np.float32)
    slow = round(shared.stragglers * count) if shared else 0
    if shared and slow:
        rng = _generator(root, Purpose.STRAGGLER, round_number)
        late = rng.permutation(count)[:slow]
        steps[late] = rng.integers(1, np.maximum(steps[late], 2))
        if shared.straggler_policy == "drop":
            steps[late], weight[late] = 0, 0
    return Cohort(clients.astype(np.int32), steps, weight)


def _generator(root: jax.Array, purpose: Purpose, round_number: int) -> np.random.Generator:
    return np.random.default_rng(np.asarray(jax.random.key_data(derive(root, purpose, round_number))))
