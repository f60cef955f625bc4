"""A generator of the package trained on all samples at once, without a federation."""

from typing import Any

import jax
import numpy as np

from bofl_jax.synthesis.base import Examples, Generator


def fitted(generator: Generator, examples: Examples, key: jax.Array) -> tuple[Any, dict[str, float]]:
    """What the generator draws from, and the loss at the end of every phase.

    Raises:
        SystemExit: if a loss is no number.
    """
    state, losses = jax.jit(generator.start)(key), {}
    for number, stage in enumerate(generator.stages):
        work = jax.jit(stage.work)
        for turn in range(stage.rounds):
            at = jax.random.fold_in(jax.random.fold_in(key, 1 + number), turn)
            state, loss = work(state, examples, at)
            if not np.isfinite(loss):
                raise SystemExit(f"{generator.name}, phase {stage.name}, round {turn}: the loss is no number")
        losses[stage.name] = float(loss)
    return jax.jit(generator.finish)(state), losses
