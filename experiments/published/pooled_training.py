"""Training a generator of the package on all samples at once, without a federation."""

from typing import Any

import jax
import numpy as np

from bofl_jax import BoflError
from bofl_jax.synthesis import ClientSamples, Generator, SynthesisOptions


def fit_pooled(generator: Generator, samples: ClientSamples, key: jax.Array) -> tuple[Any, dict[str, float]]:
    """Fit a generator to all samples.

    Args:
        generator: the generator.
        samples: the training samples.
        key: random key.

    Returns:
        The fitted arrays that samples are drawn from, and the final loss of each stage.

    Raises:
        BoflError: if a loss is not finite.
    """
    state, losses = jax.jit(generator.init)(key), {}
    for number, stage in enumerate(generator.stages):
        update = jax.jit(stage.client_update)
        for round_number in range(stage.rounds):
            round_key = jax.random.fold_in(jax.random.fold_in(key, 1 + number), round_number)
            state, loss = update(state, samples, round_key)
            if not np.isfinite(loss):
                raise BoflError(
                    f"{generator.name}, stage {stage.name}, round {round_number}: the loss is not finite; lower lr"
                )
        losses[stage.name] = float(loss)
    return jax.jit(generator.finalize)(state), losses


def own_options(options: SynthesisOptions) -> dict[str, Any]:
    """The options of a generator itself, without those of quotas, gates and validation."""
    return options.model_dump(mode="json", exclude={*SynthesisOptions.model_fields, "generator"})
