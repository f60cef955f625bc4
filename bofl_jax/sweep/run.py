"""Execution of a sweep: members that can share their programs run side by side, the others one after another.

A member has the run directory and the chain that ``bofl run`` would make. Its numbers are equal too: to rounding for
members side by side, to the bit with ``engine.sweep = "sequential"``.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import jax

from bofl_jax import data
from bofl_jax.balancing.generator_cache import GeneratorCache
from bofl_jax.config import Config
from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.engine.batched import RunBatch, compile_key
from bofl_jax.engine.memory import fit_to_memory
from bofl_jax.engine.programs import SingleRunPrograms
from bofl_jax.parallel.devices import configure_devices, enable_compilation_cache
from bofl_jax.results.writing import check_unused
from bofl_jax.runs import Interrupted
from bofl_jax.runs.api import MakePrograms, run_batch, run_one
from bofl_jax.runs.directory import RunDirectory
from bofl_jax.runs.open_run import OpenedRun, PreparedRun, open_run
from bofl_jax.runs.session import RoundCallback
from bofl_jax.sweep.grid import Axis, Member, expand_grid, select_shard
from bofl_jax.sweep.table import write_table
from bofl_jax.synthesis import SynthesisOptions

T = TypeVar("T")

GENERATOR_FOLDER = "generators"
"""Folder of a sweep for the neural generators that its members share."""


class MemberResult(NamedTuple):
    """How a member ended."""

    member: Member
    directory: Path
    error: str  # one line; "" for a complete member
    seconds: float  # an equal share of the time of members side by side; 0 for a member that was complete before


@dataclass(frozen=True)
class Sweep:
    """The members of a sweep that this machine was asked to run.

    Attributes:
        directory: folder with the members' directories, ``sweep.csv`` and ``sweep.npz``.
        results: how each member ended, in the order of the grid.
    """

    directory: Path
    results: list[MemberResult]

    @property
    def failed(self) -> list[MemberResult]:
        """The members that ended with an error."""
        return [result for result in self.results if result.error]


class LoadConfig(Protocol):
    """A function that makes the configuration of a member."""

    def __call__(self, point: Mapping[str, Any], /) -> Config:
        """Make the configuration for a point of the grid: dotted key -> value."""


class MemberCallback(Protocol):
    """A function that is called whenever a member has ended."""

    def __call__(self, ended: int, total: int, result: MemberResult, /) -> None:
        """Receive the number of members that have ended, the number of all members, and how this member ended."""


class SweepRoundCallback(Protocol):
    """A function that is called whenever members side by side have completed a round."""

    def __call__(self, members: int, round_number: int, /) -> None:
        """Receive the number of members side by side and the number of the round."""


def sweep(
    load: LoadConfig,
    axes: Sequence[Axis],
    out: Path,
    resume: bool = False,
    shard: str = "1/1",
    on_member: MemberCallback | None = None,
    on_round: SweepRoundCallback | None = None,
) -> Sweep:
    """Run every member of a grid. A member that fails is reported, and the others continue.

    Args:
        load: makes the configuration of a member. All configurations are made before the first run starts, so that a
            wrong key or value is reported at once.
        axes: the axes of the grid.
        out: folder for the directories of the members.
        resume: continue the sweep in ``out``; complete members are not repeated.
        shard: ``I/N``, the part of the grid for this machine.
        on_member: called whenever a member has ended.
        on_round: called whenever members side by side have completed a round.

    Raises:
        BoflError: if the grid or a configuration is wrong, the folder is in use, or `jax.distributed` is initialised.
        Interrupted: on Ctrl-C, after the current round was completed and saved.
    """
    if jax.distributed.is_initialized():
        raise BoflError("members need no other host: without jax.distributed, start a sweep on each with --shard I/N")
    members = expand_grid(axes)
    own_members = [(member, load(member.point)) for member in select_shard(members, shard)]
    if not (resume and out.is_dir()):
        check_unused(out, resumable=True)
    enable_compilation_cache()
    runner = _SweepRunner(own_members, out, resume, on_member or (lambda *_: None), on_round or (lambda *_: None))
    try:
        runner.run()
    except Interrupted as error:
        raise Interrupted(
            f"stopped, {len(runner.results)} of {len(own_members)} members were done; go on with --resume --out {out}"
        ) from error
    finally:
        results = [runner.results[index] for index in sorted(runner.results)]
        if out.is_dir():
            write_table(out, members, {result.member.name: result.error for result in results if result.error})
    return Sweep(out, results)


class _SweepRunner:
    """Runs the members of a sweep on this machine. Members are named by their index."""

    def __init__(
        self,
        members: Sequence[tuple[Member, Config]],
        out: Path,
        resume: bool,
        on_member: MemberCallback,
        on_round: SweepRoundCallback,
    ) -> None:
        self.members, self.out, self.resume = members, out, resume
        self.on_member, self.on_round = on_member, on_round
        self.results: dict[int, MemberResult] = {}
        self._samples: dict[str, Samples] = {}

    def run(self) -> None:
        """Run all members that are not complete: groups with the same compile key together."""
        groups: dict[tuple[str, int], dict[int, PreparedRun]] = {}
        for index in range(len(self.members)):
            prepared = self._prepare_or_run_alone(index)
            if prepared:
                key = compile_key(prepared.problem), prepared.opened.completed_rounds
                groups.setdefault(key, {})[index] = prepared
        for group in groups.values():
            self._run_group(_fit_group_to_memory(group))

    def _prepare_or_run_alone(self, index: int) -> PreparedRun | None:
        """A member that can run side by side with others; None for one that has ended."""
        config = self.members[index][1]
        runs_alone = config.engine.sweep == "sequential" or isinstance(config.synthesis, SynthesisOptions)
        if runs_alone:
            configure_devices(config.engine)  # before the first use of JAX, as `run` does
        opened = self._attempt(index, lambda: open_run(config, self._directory(index), self.resume))
        if opened is None:
            return None
        if opened.complete:
            self._end(index, None, 0.0)
            return None
        if runs_alone:
            self._run_alone(index, opened)
            return None
        return self._attempt(index, lambda: opened.prepare(self._load_samples(config)))

    def _load_samples(self, config: Config) -> Samples:
        """The sample pool of a member; members with the same data share it."""
        seed = config.seed if config.data.seeded else ""
        key = f"{config.data.model_dump_json()} {seed}"
        if key not in self._samples:
            self._samples[key] = data.load(config.data, config.seed)
        return self._samples[key]

    def _run_alone(self, index: int, opened: OpenedRun) -> None:
        """Run a member exactly as ``bofl run`` does."""
        began = time.perf_counter()
        cache = GeneratorCache(self.out / GENERATOR_FOLDER)
        run = self._attempt(index, lambda: run_one(opened.prepare().fit_to_memory(), generator_cache=cache))
        if run is not None:
            self._end(index, None, time.perf_counter() - began)

    def _run_group(self, group: dict[int, PreparedRun]) -> None:
        """Run members with the same compile key, in chunks that fit into memory."""
        if len(group) == 1 or next(iter(group.values())).problem.plan.execution == "loop":
            for index, prepared in group.items():
                self._run_together({index: prepared}, lambda problems: SingleRunPrograms(problems[0]))
            return
        order = _by_samples(group)
        batch = RunBatch([group[index].problem for index in order])
        indices = iter(order)
        for chunk in batch.chunks:
            self._run_together({index: group[index] for index in itertools.islice(indices, len(chunk))}, batch.programs)

    def _run_together(self, group: dict[int, PreparedRun], make_programs: MakePrograms) -> None:
        began = time.perf_counter()
        outcomes = run_batch(list(group.values()), make_programs, self._round_callback(len(group)))
        seconds = (time.perf_counter() - began) / len(group)
        for index, outcome in zip(group, outcomes, strict=True):
            self._end(index, outcome if isinstance(outcome, Exception) else None, seconds)

    def _round_callback(self, count: int) -> RoundCallback:
        """A callback for the rounds of members side by side that reports each round once."""
        last = 0

        def report(record: Mapping[str, Any]) -> None:
            nonlocal last
            if record["round"] > last:
                last = record["round"]
                self.on_round(count, last)

        return report

    def _attempt(self, index: int, function: Callable[[], T]) -> T | None:
        """Call a function for one member. An error ends the member, and the result is None."""
        began = time.perf_counter()
        try:
            return function()
        except Interrupted:
            raise
        except Exception as error:
            self._end(index, error, time.perf_counter() - began)
            return None

    def _end(self, index: int, error: Exception | None, seconds: float) -> None:
        """Record and report how a member ended."""
        text = (
            "" if error is None else str(error) if isinstance(error, BoflError) else f"{type(error).__name__}: {error}"
        )
        member = self.members[index][0]
        self.results[index] = MemberResult(member, self.out / member.name, " ".join(text.split()), seconds)
        self.on_member(len(self.results), len(self.members), self.results[index])

    def _directory(self, index: int) -> RunDirectory:
        return RunDirectory(self.out / self.members[index][0].name)


def _fit_group_to_memory(group: dict[int, PreparedRun]) -> dict[int, PreparedRun]:
    """The same members with their clients in chunks if memory requires it; the plan of none of them may be final."""
    if any(prepared.opened.plan_is_final for prepared in group.values()):
        return group
    problems = fit_to_memory([prepared.problem for prepared in group.values()])
    return {
        index: prepared._replace(problem=problem)
        for (index, prepared), problem in zip(group.items(), problems, strict=True)
    }


def _by_samples(group: Mapping[int, PreparedRun]) -> list[int]:
    """The members in an order in which those with the same sample pool are next to each other."""
    first: dict[int, int] = {}  # identity of a sample pool -> the first member that uses it
    for index, prepared in group.items():
        first.setdefault(id(prepared.problem.samples), index)
    return sorted(group, key=lambda index: (first[id(group[index].problem.samples)], index))
