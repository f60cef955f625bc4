"""``environment.json``: the versions, the device and the platform of a run. The chain does not vouch for it."""

import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import TypedDict

import jax

from bofl_jax.results.reading import FIX_RUN, load_json, read_file
from bofl_jax.results.records import check_record
from bofl_jax.results.writing import write_json

ENVIRONMENT_FILE = "environment.json"
PACKAGES = ("bofl_jax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "wfdb", "orbax-checkpoint", "py-evm")


class Environment(TypedDict):
    """Content of ``environment.json``."""

    python: str  # version
    platform: str
    backend: str  # of JAX: "cpu", "gpu", "tpu"
    device: str  # kind of the first device
    devices: int
    processes: int
    packages: dict[str, str]  # name -> version


def current_environment() -> Environment:
    """The environment of this process."""
    device = jax.devices()[0]
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def write_environment(directory: Path) -> None:
    """Write the environment of this process into a run directory."""
    write_json(directory / ENVIRONMENT_FILE, current_environment())


def read_environment(directory: Path) -> Environment:
    """Read the environment of a run.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    path = directory / ENVIRONMENT_FILE
    return read_file(path, lambda file: check_record(load_json(file), Environment), FIX_RUN)
