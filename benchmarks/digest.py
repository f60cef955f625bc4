"""Measure how fast updates are digested: by `hashlib` on the host, and by a JAX program on their device.

    python benchmarks/digest.py --clients 64 --parameters 36901 --json benchmarks/results/digest.json

Both must give the same digests. On an accelerator, digesting on the host begins with a copy of the updates. Prints
JSON.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from output import emit, machine

from bofl_jax.core.digest import digest_rows
from bofl_jax.core.digest_jax import digest_words, words_to_bytes
from bofl_jax.core.serialization import stacked_canonical_bytes


def main() -> None:
    """Measure and print."""
    arguments = parse()
    shape = (arguments.clients, arguments.parameters)
    updates = {"w": jax.random.normal(jax.random.key(0), shape, jnp.float32)}
    size = 4 * arguments.clients * arguments.parameters
    began = time.perf_counter()
    on_device = jax.jit(jax.vmap(digest_words)).lower(updates).compile()
    compile_s = time.perf_counter() - began

    def by_host() -> np.ndarray:
        fresh = jax.tree.map(lambda a: a + 0, updates)  # an array caches its copy on the host
        return digest_rows(*stacked_canonical_bytes(jax.device_get(fresh)))

    def by_device() -> np.ndarray:
        return words_to_bytes(jax.device_get(on_device(updates)))

    assert (by_host() == by_device()).all(), "the digests differ"
    host, device = (median_seconds(digest, arguments.repeats) for digest in (by_host, by_device))
    result = {
        "work": {"clients": arguments.clients, "parameters": arguments.parameters, "bytes": size},
        "machine": {**machine(), "device": jax.devices()[0].device_kind, "jax": jax.__version__},
        "repeats": arguments.repeats,
        "compile_s": round(compile_s, 2),
        "host_s_median": host,
        "device_s_median": device,
        "host_gb_per_s": round(size / host / 1e9, 3),
        "device_gb_per_s": round(size / device / 1e9, 3),
    }
    emit(result, arguments.json)


def median_seconds(function: Callable[[], np.ndarray], repeats: int) -> float:
    """Median seconds of a call.

    Args:
        function: what is called.
        repeats: number of calls.
    """
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64, help="C")
    parser.add_argument("--parameters", type=int, default=36901, help="P")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
