"""Opening of a run: a configuration and a run directory, checked against each other once."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bofl_jax.config import Config
from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.engine.memory import fit_to_memory
from bofl_jax.engine.problem import FederatedProblem, build_problem, with_resolved_engine
from bofl_jax.parallel import devices
from bofl_jax.parallel.clients import ExecutionPlan, resolve_plan
from bofl_jax.parallel.processes import is_coordinator
from bofl_jax.results.records import flatten
from bofl_jax.results.run_config import read_config
from bofl_jax.runs.checkpoint import latest_round
from bofl_jax.runs.directory import RunDirectory
from bofl_jax.synthesis import SynthesisOptions


@dataclass(frozen=True)
class OpenedRun:
    """A configuration and its run directory, as `open_run` found them.

    Attributes:
        directory: the run directory; a new run has not yet created it.
        config: the configuration, with the values that "auto" was resolved to.
        plan: how clients run.
        plan_is_final: whether the configuration or the directory prescribes the plan, so that memory cannot change it.
        begun: whether the directory holds this run already, complete or not.
        complete: whether the directory holds the whole run.
        completed_rounds: rounds up to the newest checkpoint, where a resumed run continues.
    """

    directory: RunDirectory
    config: Config
    plan: ExecutionPlan
    plan_is_final: bool
    begun: bool
    complete: bool
    completed_rounds: int

    def prepare(self, samples: Samples | None = None) -> "PreparedRun":
        """Build the problem of the run.

        Args:
            samples: the sample pool; ``config.data`` is loaded when left out.

        Raises:
            BoflError: if data, clients and options do not fit together.
        """
        return PreparedRun(self, build_problem(self.config, self.plan, samples))

    def begin(self, config: Config) -> None:
        """Create the directory of a new run; does nothing for a run that was begun before.

        Args:
            config: the configuration with the plan that was chosen in the end.

        Raises:
            BoflError: if the directory cannot be written, or is no longer empty.
        """
        if not self.begun:
            self.directory.check_unused()
            self.directory.begin(config)


class PreparedRun(NamedTuple):
    """A run that is ready to start."""

    opened: OpenedRun
    problem: FederatedProblem

    def fit_to_memory(self) -> "PreparedRun":
        """The same run, with its clients in chunks if they do not fit into memory and the plan is not final."""
        if self.opened.plan_is_final:
            return self
        return self._replace(problem=fit_to_memory([self.problem])[0])


def open_run(config: Config, directory: RunDirectory, resume: bool = False) -> OpenedRun:
    """Resolve a configuration, and check that it fits its run directory.

    Only the coordinator looks into the directory; the workers of a run on several hosts need not see it.

    Args:
        config: the configuration.
        directory: the run directory.
        resume: whether to continue the run that the directory holds, if it holds one.

    Raises:
        BoflError: if the directory holds another run or other files, or the machine cannot carry out the configuration.
    """
    begun = resume and directory.begun
    if is_coordinator() and not begun:
        directory.check_unused()
    _check_processes(config)
    devices.configure_devices(config.engine)
    plan = resolve_plan(config.engine)
    written = read_config(directory.path).tables if begun and is_coordinator() else None
    if config.engine.execution == "auto" and plan.execution == "vmap" and written:
        plan = _chunked_plan(written) or plan
    resolved = with_resolved_engine(config, plan)
    if written:
        _check_same_configuration(directory.path, written, resolved)
    return OpenedRun(
        directory=directory,
        config=resolved,
        plan=plan,
        plan_is_final=begun or config.engine.execution != "auto",
        begun=begun,
        complete=begun and directory.complete,
        completed_rounds=latest_round(directory.checkpoints) if begun else 0,
    )


def _check_processes(config: Config) -> None:
    if jax.process_count() > 1 and isinstance(config.synthesis, SynthesisOptions):
        raise BoflError("synthetic samples are generated in one process: leave --distributed out")
    if jax.process_count() > 1 and config.evaluate.contribution != "none":
        raise BoflError("evaluate.contribution needs all updates in one process: leave --distributed out")


def _chunked_plan(written: Mapping[str, Any]) -> ExecutionPlan | None:
    """The plan of a run whose clients did not fit into memory together when it was begun; None for other runs."""
    engine = written.get("engine", {})
    return ExecutionPlan("map", engine.get("width", 0), 1, 1) if engine.get("execution") == "map" else None


def _check_same_configuration(path: Path, written: Mapping[str, Any], config: Config) -> None:
    """Raise a BoflError that names the first key in which the written configuration differs."""
    before, now = flatten(written), flatten(tomllib.loads(config.to_toml()))
    for key in sorted(before.keys() | now.keys()):
        if _value_text(before, key) != _value_text(now, key):
            raise BoflError(
                f"{path} was begun with {key} = {_value_text(before, key)}, not {_value_text(now, key)}: resume it "
                f"with the same configuration ({path / 'config.toml'}), or name another --out"
            )


def _value_text(values: Mapping[str, Any], key: str) -> str | None:
    return json.dumps(values[key]) if key in values else None
