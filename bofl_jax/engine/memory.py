"""What fits into memory: how many runs side by side, and how many clients of a run are vmapped together."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.engine.cohort import Cohort, draw_cohort
from bofl_jax.engine.compile import digest_location
from bofl_jax.engine.personalise import adaptation_cohort, personal_options, personalise_step
from bofl_jax.engine.problem import FederatedProblem, program_inputs, with_resolved_engine
from bofl_jax.engine.round import client_phase, round_step
from bofl_jax.engine.state import RoundInputs, initial_state
from bofl_jax.parallel.clients import ExecutionPlan

Tree = Any

MEMORY_FRACTION = 0.5
"""Fraction of the free memory that plans may use."""


def free_bytes() -> int:
    """Free bytes of JAX's first device; on a CPU, free bytes of the machine without swapping."""
    stats = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    if stats:
        return int(stats["bytes_limit"] - stats["bytes_in_use"])
    try:
        with open("/proc/meminfo") as file:
            found = {line.split(":")[0]: line.split()[1] for line in file}
        return int(found["MemAvailable"]) * 1024
    except (OSError, KeyError, IndexError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def size_of(tree: Tree) -> int:
    """Bytes of all leaves, which are arrays or shapes of arrays."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def first_cohort(problem: FederatedProblem) -> Cohort:
    """The cohort of the first round; all cohorts have its size."""
    config = problem.config
    return draw_cohort(config.federation, problem.training, problem.root, 1, adversary=config.adversary)


def _first_round(problem: FederatedProblem) -> RoundInputs:
    inputs, state = program_inputs(problem), initial_state(problem)
    return RoundInputs(problem.pool, inputs, state, first_cohort(problem), jnp.int32(1), jnp.float32(0))


def _temporary_bytes(program: Callable[..., Tree], arguments: Tree) -> int:
    """Bytes that a program needs while it runs, by the compiler's count; 0 where the compiler does not count."""
    counted = jax.jit(program).lower(arguments).compile().memory_analysis()
    return int(counted.temp_size_in_bytes) if counted else 0


def fit_to_memory(problems: Sequence[FederatedProblem]) -> list[FederatedProblem]:
    """The same problems, with clients in chunks where a whole cohort exceeds `MEMORY_FRACTION` of the free memory.

    Only plans that vmap all clients change. The compiler counts what the whole cohort needs and returns; each client's
    part is the same share of that. The size of a chunk is a power of two, so that the same machine with slightly more
    or less free memory comes to the same plan.

    Args:
        problems: of runs that share their programs; the first one is measured.
    """
    problem = problems[0]
    if problem.plan.execution != "vmap":
        return list(problems)
    arguments = _first_round(problem)
    program = functools.partial(client_phase, problem, digest_location(problem))
    needed = _temporary_bytes(program, arguments) + size_of(jax.eval_shape(program, arguments))
    clients = len(arguments.cohort.client)
    fit = int(MEMORY_FRACTION * free_bytes() * clients / max(1, needed))
    if fit >= clients:
        return list(problems)
    plan = ExecutionPlan("map", 1 << max(0, fit.bit_length() - 1), 1, 1)
    return [replace(each, plan=plan, config=with_resolved_engine(each.config, plan)) for each in problems]


def runs_at_once(problem: FederatedProblem) -> int:
    """How many runs like this one fit into `MEMORY_FRACTION` of the free memory side by side.

    The inputs of a run, the results of a round and the personal models are counted from their shapes, and twice,
    because the host holds a copy. On an accelerator, where runs are vmapped, the compiler's count of temporary bytes is
    added.
    """
    single = replace(problem, plan=problem.plan.single_device())
    arguments = _first_round(single)
    pool, inputs, state = arguments.pool, arguments.inputs, arguments.state
    program = functools.partial(round_step, single, digest_location(problem))
    size = size_of((pool, inputs, state)) + 2 * size_of(jax.eval_shape(program, arguments))
    options = personal_options(problem)
    if options:
        last = functools.partial(personalise_step, single, options)
        cohort = adaptation_cohort(problem, options.steps)
        size += 2 * size_of(jax.eval_shape(last, pool, inputs, state, cohort, np.float32(0)))
    if problem.plan.execution == "vmap":
        size += _temporary_bytes(program, arguments)
    return int(MEMORY_FRACTION * free_bytes()) // size
