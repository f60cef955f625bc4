"""Configuration of devices, the cache of compiled programs, and their number in a process."""

import gc
import os
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from bofl_jax.data.location import cache_home
from bofl_jax.parallel.options import EngineOptions
from bofl_jax.parallel.typed_jax import clear_caches, update_config

SINGLE_THREADED = "--xla_cpu_multi_thread_eigen=false"


def configure_devices(options: EngineOptions) -> None:
    """Give JAX one single-threaded CPU device for each core, unless JAX has already been initialised.

    For small models, two such devices with one client each are three times as fast as one device with two threads. A
    JAX that has been initialised (in a notebook or a test) keeps its devices; results do not depend on them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    devices = options.devices or max(n for n in range(1, cores + 1) if options.blocks % n == 0)
    flags = os.environ.get("XLA_FLAGS", "")
    try:
        if "xla_force_host_platform_device_count" not in flags:
            update_config("jax_num_cpu_devices", devices)
    except RuntimeError:
        return
    if "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {SINGLE_THREADED}".strip()


def enable_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, unless JAX has another folder for them.

    Runs that share their programs then compile them once, for any seed and learning rate. If the folder cannot be
    created, programs are not kept.
    """
    if jax.config.values["jax_compilation_cache_dir"]:
        return
    folder = cache_home() / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    update_config("jax_compilation_cache_dir", str(folder))
    update_config("jax_persistent_cache_min_compile_time_secs", 0.2)
    compilation_cache.reset_cache()


def clear_program_cache() -> None:
    """Release the compiled programs of earlier runs if the process has used half of its memory maps.

    JAX keeps each program until the process ends, in 300 to 800 memory maps a run. With Linux's default limit of 65 530
    maps, a process crashed in its 76th run. Programs that are needed again are compiled again, or read from the cache.
    """
    try:
        limit, used = _memory_map_limit(), Path("/proc/self/maps").read_bytes().count(b"\n")
    except (OSError, ValueError):
        return  # not Linux
    if used > limit // 2:
        clear_caches()
        gc.collect()


def _memory_map_limit() -> int:
    return int(Path("/proc/sys/vm/max_map_count").read_text())
