"""Time the noise of one local step against `jax.random.normal`, in turn in one process, on one device.

    python benchmarks/noise.py --json benchmarks/results/noise.json

The work: batches of 32 windows of 256 samples. Prints JSON.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
from output import emit, machine

from bofl_jax.core.noise import normal

SHAPE, STEPS = (32, 256, 1), 200
Draw = Callable[[jax.Array, tuple[int, ...]], jax.Array]
"""Key and shape -> Gaussian noise."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=21, help="timed runs of each; the median is reported")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    key, start = jax.random.key(0), jnp.zeros(SHAPE)
    runs = {name: compile_draws(draw, key, start) for name, draw in (("jax", jax.random.normal), ("ours", normal))}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            jax.block_until_ready(run(key, start))
            seconds[name].append((time.perf_counter() - began) / STEPS)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    result = {"machine": {**machine(), "device": jax.devices()[0].device_kind, "jax": jax.__version__}}
    result |= {"shape": SHAPE, "microseconds": {name: round(1e6 * value, 1) for name, value in medians.items()}}
    emit(result | {"times_as_fast": round(medians["jax"] / medians["ours"], 2)}, arguments.json)


def compile_draws(draw: Draw, key: jax.Array, start: jax.Array) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Compile `STEPS` draws, one after another, as in a client's local steps.

    Args:
        draw: the generator.
        key: random key, for its type.
        start: array that the noise is added to, for its shape.
    """

    def run(key: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, STEPS, lambda i, t: t + 1e-3 * draw(jax.random.fold_in(key, i), SHAPE), start)

    return jax.jit(run).lower(key, start).compile()


if __name__ == "__main__":
    main()
