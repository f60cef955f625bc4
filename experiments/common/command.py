"""The command line of an experiment: its description, its set-up and how it ends."""

import argparse
from collections.abc import Callable
from pathlib import Path

import jax

from bofl_jax import Config, Samples, data
from bofl_jax.core.errors import exit_on_error
from bofl_jax.parallel import ExecutionPlan, configure_devices, resolve_plan


def argument_parser(docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose description is the first line of a module's docstring."""
    return argparse.ArgumentParser(description=(docstring or "").splitlines()[0])


def run_command(main: Callable[[], object]) -> None:
    """Run a command. A `BoflError` ends it with one line on standard error and with the error's exit code."""
    with exit_on_error():
        main()


def prepare(base: Config, work: Path) -> tuple[ExecutionPlan, Samples]:
    """Configure the devices, keep compiled programs in a work folder, and load the recordings.

    Args:
        base: configuration that all trainings of the experiment start from.
        work: work folder; it is created if it does not exist.

    Returns:
        How clients run, and the pool of samples.
    """
    work.mkdir(parents=True, exist_ok=True)
    configure_devices(base.engine)
    jax.config.update("jax_compilation_cache_dir", str(work.absolute() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    return resolve_plan(base.engine), data.load(base.data, 0)
