"""Time the noise of one local step against `jax.random.normal`, taking turns in one process, on one device.

    python benchmarks/noise.py --json benchmarks/results/noise.json

The work: batches of 32 windows of 256 samples. Prints JSON.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
from output import emit, machine

from bofl_jax.core.noise import normal

SHAPE, STEPS = (32, 256, 1), 200


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=21, help="timed runs of each; the median counts")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    key, start = jax.random.key(0), jnp.zeros(SHAPE)
    runs = {name: compiled(draw, key, start) for name, draw in (("jax", jax.random.normal), ("ours", normal))}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            jax.block_until_ready(run(key, start))
            seconds[name].append((time.perf_counter() - began) / STEPS)
    each = {name: statistics.median(of_run) for name, of_run in seconds.items()}
    result = {"machine": {**machine(), "device": jax.devices()[0].device_kind, "jax": jax.__version__}}
    result |= {"shape": SHAPE, "microseconds": {name: round(1e6 * value, 1) for name, value in each.items()}}
    emit(result | {"times_as_fast": round(each["jax"] / each["ours"], 2)}, arguments.json)


def compiled(draw, key, start):
    """Many draws, one after another, as a client's local steps make them."""

    def run(key, start):
        return jax.lax.fori_loop(0, STEPS, lambda i, t: t + 1e-3 * draw(jax.random.fold_in(key, i), SHAPE), start)

    return jax.jit(run).lower(key, start).compile()


if __name__ == "__main__":
    main()
