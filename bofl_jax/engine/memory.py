"""What fits into the memory: so many runs side by side, so many clients of a run vmapped at a time."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.engine.cohort import Cohort, draw_cohort
from bofl_jax.engine.personalise import adaptation_cohort, personal_options, personalise_step
from bofl_jax.engine.problem import FederatedProblem, program_inputs, with_resolved_engine
from bofl_jax.engine.round import RoundInputs, client_phase, digest_location, initial_state, round_step
from bofl_jax.parallel.clients import ExecutionPlan

Tree = Any

MEMORY_FRACTION = 0.5
"""Part of the free memory that is planned with."""


def free_bytes() -> int:
    """What JAX's first device can still hold; on a CPU, what the machine can without swapping."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    try:
        with open("/proc/meminfo") as file:
            found = {line.split(":")[0]: line.split()[1] for line in file}
        return int(found["MemAvailable"]) * 1024
    except (OSError, KeyError, IndexError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def size_of(tree: Tree) -> int:
    """Bytes of all leaves, arrays or shapes of arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def first_cohort(setting: FederatedProblem) -> Cohort:
    """A cohort of the size that all have."""
    config = setting.config
    return draw_cohort(config.federation, setting.training, setting.root, 1, adversary=config.adversary)


def _first_round(setting: FederatedProblem) -> RoundInputs:
    """What the first round is given."""
    cohort = first_cohort(setting)
    return RoundInputs(
        setting.pool, program_inputs(setting), initial_state(setting), cohort, jnp.int32(1), jnp.float32(0)
    )


def _at_work(program: Callable, given: Tree) -> int:
    """Bytes that a program needs while it works, by the compiler's count; 0 where it does not count."""
    counted = jax.jit(program).lower(given).compile().memory_analysis()
    return counted.temp_size_in_bytes if counted else 0


def fit_to_memory(settings: Sequence[FederatedProblem]) -> list[FederatedProblem]:
    """The same runs, their clients in chunks where all of a cohort together do not fit into `SHARE` of the memory.

    Nothing is changed but plans that vmap all clients. What they need at work, and what they return, is the compiler's
    count for the whole cohort, shared out evenly; a chunk is a power of two of them, so that the same machine comes to
    the same one with a little more memory or a little less.

    Args:
        settings: of runs that share their programs; the first one is measured.
    """
    setting = settings[0]
    if setting.plan.execution != "vmap":
        return list(settings)
    given = _first_round(setting)
    work = functools.partial(client_phase, setting, digest_location(setting))
    needed = _at_work(work, given) + size_of(jax.eval_shape(work, given))
    clients = len(given.cohort.client)
    fit = int(MEMORY_FRACTION * free_bytes() * clients / max(1, needed))
    if fit >= clients:
        return list(settings)
    plan = ExecutionPlan("map", 1 << max(0, fit.bit_length() - 1), 1, 1)
    return [replace(each, plan=plan, config=with_resolved_engine(each.config, plan)) for each in settings]


def runs_at_once(setting: FederatedProblem) -> int:
    """How many runs like this one fit into `SHARE` of the memory side by side.

    What a run holds, returns of a round and has of its clients' own models at its end is counted from their shapes, and
    twice, for the host's copy. On an accelerator, where runs are vmapped, what one needs while it works comes on top,
    as the compiler counts it.
    """
    inside = replace(setting, plan=setting.plan.single_device())
    given = _first_round(inside)
    pool, held, state = given.pool, given.inputs, given.state
    work = functools.partial(round_step, inside, digest_location(setting))
    size = size_of((pool, held, state)) + 2 * size_of(jax.eval_shape(work, given))
    options = personal_options(setting)
    if options:
        last = functools.partial(personalise_step, inside, options)
        size += 2 * size_of(
            jax.eval_shape(last, pool, held, state, adaptation_cohort(setting, options.steps), np.float32(0))
        )
    if setting.plan.execution == "vmap":
        size += _at_work(work, given)
    return int(MEMORY_FRACTION * free_bytes()) // size
