"""Set the machine up before JAX first touches it."""

import gc
import os
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from bofl_jax.data.location import cache_home
from bofl_jax.parallel.options import EngineOptions

SINGLE_THREADED = "--xla_cpu_multi_thread_eigen=false"


def configure_devices(options: EngineOptions) -> None:
    """Give JAX one single-threaded CPU device a core, unless it is already running.

    Two such devices with a client each beat one device with two threads threefold on small models. A JAX that is
    already running (a notebook, a test) keeps what it has; results do not depend on it.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    wanted = options.devices or max(n for n in range(1, cores + 1) if options.blocks % n == 0)
    flags = os.environ.get("XLA_FLAGS", "")
    try:
        if "xla_force_host_platform_device_count" not in flags:
            jax.config.update("jax_num_cpu_devices", wanted)
    except RuntimeError:
        return
    if "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {SINGLE_THREADED}".strip()


def enable_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, unless JAX keeps them somewhere already.

    Runs whose programs are the same then compile them once, whatever their seed and their learning rate. Where the
    folder cannot be made, programs are not kept.
    """
    if jax.config.values["jax_compilation_cache_dir"]:
        return
    folder = cache_home() / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    compilation_cache.reset_cache()


def clear_program_cache() -> None:
    """Let the compiled programs of earlier runs go where the process comes near the system's limit of memory maps.

    JAX keeps every program for as long as the process lives, in 300 to 800 maps a run: at Linux's usual limit of 65 530
    a process ended in its 76th run. Programs that are needed again are compiled, or fetched, again.
    """
    try:
        limit, used = _map_limit(), Path("/proc/self/maps").read_bytes().count(b"\n")
    except (OSError, ValueError):
        return  # no Linux
    if used > limit // 2:
        jax.clear_caches()
        gc.collect()


def _map_limit() -> int:
    return int(Path("/proc/sys/vm/max_map_count").read_text())
