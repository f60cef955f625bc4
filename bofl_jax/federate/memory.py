"""How much memory there is, and how much a pytree takes."""

import os
from typing import Any

import jax

Tree = Any


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
