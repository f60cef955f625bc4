"""The command line of the scripts in this folder: two devices, common options, data folders and JSON results."""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax import BoflError
from experiments.common.command import argument_parser, run_command


def run_on_two_devices(main: Callable[[], object]) -> None:
    """Run a command on two single-threaded CPU devices, unless XLA_FLAGS is set."""
    flags = "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=2"
    os.environ.setdefault("XLA_FLAGS", flags)  # read when JAX is first used
    run_command(main)


def result_parser(docstring: str | None, **integers: int) -> argparse.ArgumentParser:
    """A parser with ``--json`` and some whole numbers.

    Args:
        docstring: docstring of the script.
        integers: name and default of each number.
    """
    parser = argument_parser(docstring)
    parser.add_argument("--json", type=Path, help="write the result here; it is printed too")
    for name, default in integers.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    return parser


def emit_result(result: dict[str, Any], path: Path | None, began: float) -> None:
    """Print a result with its wall time, and write it.

    Args:
        result: the result.
        path: file that is written, or None.
        began: `time.perf_counter` at the start.
    """
    text = json.dumps(result | {"seconds": round(time.perf_counter() - began, 1)}, indent=1)
    print(text)
    if path:
        path.write_text(text + "\n")


def data_folder(name: str, content: str) -> Path:
    """A folder under BOFL_DATA.

    Args:
        name: name of the folder.
        content: files that belong into it, for the error.

    Raises:
        BoflError: if the folder does not exist.
    """
    folder = Path(os.environ.get("BOFL_DATA", ".")) / name
    if not folder.is_dir():
        raise BoflError(f"no folder {folder}: set BOFL_DATA to the folder with {name}/, which holds {content}")
    return folder


def summarise_scores(scores: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Mean and standard deviation of float[R] scores, and each of them."""
    values = np.asarray(scores)
    return {"mean": float(values.mean()), "sd": float(values.std()), "each": [round(float(v), 4) for v in values]}
