"""The members of a grid: those that differ in numbers only side by side in one program, the others one after another.

A member's directory and chain are those of ``bofl run``. So are its numbers: to rounding side by side, to the bit with
``engine.sweep = "sequential"``.
"""

import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bofl_jax import data
from bofl_jax.config import Config
from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.engine.batched import RunBatch, compile_key
from bofl_jax.engine.memory import fit_to_memory
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.programs import RunPrograms, SingleRunPrograms
from bofl_jax.parallel.devices import enable_compilation_cache
from bofl_jax.results.writing import refuse_if_used
from bofl_jax.runs import Interrupted, run
from bofl_jax.runs.api import prepare_run, resolve_config, run_batch
from bofl_jax.runs.checkpoint import saved_round
from bofl_jax.runs.directory import RunDirectory
from bofl_jax.sweep.grid import Axis, Member, members, share
from bofl_jax.sweep.table import write_table
from bofl_jax.synthesis import SynthesisOptions

GENERATORS = "generators"
"""Folder of a sweep for the neural generators that its members share."""


class Result(NamedTuple):
    """How a member ended."""

    member: Member
    directory: Path
    error: str  # "" for a member that is complete
    seconds: float  # its share of what was run together; 0 for a member that was complete before


@dataclass(frozen=True)
class Sweep:
    """A grid of which every member was tried.

    Attributes:
        directory: that holds the members' directories, ``sweep.csv`` and ``sweep.npz``.
        results: of this machine's members, in the order of the grid.
    """

    directory: Path
    results: list[Result]

    @property
    def failed(self) -> list[Result]:
        """The members that could not be carried out."""
        return [result for result in self.results if result.error]


Load = Callable[[Mapping[str, Any]], Config]
"""a point of the grid -> its configuration."""


def sweep(
    load: Load,
    axes: Sequence[Axis],
    out: Path,
    resume: bool = False,
    shard: str = "1/1",
    on_member: Callable[[int, int, Result], None] | None = None,
    on_round: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Run every member of a grid; one that fails is reported, and the others go on.

    Args:
        load: makes a member's configuration. All are made before the first one is run: a key or a value that is wrong
            costs no time.
        axes: the grid.
        out: where the members' directories go.
        resume: go on in ``out``; members that are complete are not repeated.
        shard: ``I/N``, this machine's part.
        on_member: called with how many members have ended, how many there are, and how this one ended.
        on_round: called with how many members have completed a round side by side, and with its number.

    Raises:
        BoflError: for a grid or a configuration that is wrong, a folder that is in use, or in a process of several.
        Interrupted: on Ctrl-C.
    """
    if jax.distributed.is_initialized():
        raise BoflError("members need no other host: without jax.distributed, start a sweep on each with --shard I/N")
    everyone = members(axes)
    mine = [(member, load(member.point)) for member in share(everyone, shard)]
    if not (resume and out.is_dir()):
        refuse_if_used(out, resumable=True)
    enable_compilation_cache()
    under_way = _Sweep(mine, out, resume, on_member or (lambda *_: None), on_round or (lambda *_: None))
    try:
        under_way.run()
    except Interrupted as error:
        raise Interrupted(
            f"stopped, {len(under_way.results)} of {len(mine)} members were done; go on with --resume --out {out}"
        ) from error
    finally:
        results = sorted(under_way.results.items())
        errors = {result.member.name: result.error for _, result in results if result.error}
        if out.is_dir():
            write_table(out, everyone, errors)
    return Sweep(out, [result for _, result in results])


class _Sweep:
    """The members of a sweep on this machine, by their number."""

    def __init__(
        self,
        members: Sequence[tuple[Member, Config]],
        out: Path,
        resume: bool,
        on_member: Callable[[int, int, Result], None],
        on_round: Callable[[int, int], None],
    ) -> None:
        self.members, self.out, self.resume = members, out, resume
        self.on_member, self.on_round = on_member, on_round
        self.results: dict[int, Result] = {}
        self._data: dict[str, Samples] = {}

    def run(self) -> None:
        """Run all members that are not complete: groups of one signature together, the others one after another."""
        settings: dict[int, FederatedProblem] = {}
        for index, (_, config) in enumerate(self.members):
            if not self._complete(index):
                if config.engine.sweep == "sequential" or isinstance(config.synthesis, SynthesisOptions):
                    self._run_alone(index)
                else:
                    self._attempt(index, functools.partial(self._settle, index, settings))
        groups: dict[tuple[str, int], list[int]] = {}
        for index, setting in settings.items():
            groups.setdefault((compile_key(setting), saved_round(self._directory(index).checkpoints)), []).append(index)
        for indices in groups.values():
            group = [settings[index] for index in indices]
            if not any(self._settled(index) for index in indices):
                group = fit_to_memory(group)
            if len(indices) == 1 or group[0].plan.execution == "loop":
                for index, setting in zip(indices, group, strict=True):
                    self._carry_out([index], [setting], lambda chunk: SingleRunPrograms(chunk[0]))
            else:
                self._run_group(dict(zip(indices, group, strict=True)))

    def _settled(self, index: int) -> bool:
        """Whether it is said how the clients of a member run, by its configuration or its directory."""
        return self.members[index][1].engine.execution != "auto" or self._directory(index).begun

    def _complete(self, index: int) -> bool:
        """Whether a member is done, from an earlier call; one of another configuration is reported."""
        directory = self._directory(index)
        if not (self.resume and directory.complete):
            return False
        config = self.members[index][1]
        if self._attempt(index, lambda: directory.check_same(resolve_config(config, directory)[0])) is not None:
            self._end(index, None, 0.0)
        return True

    def _settle(self, index: int, settings: dict[int, FederatedProblem]) -> None:
        """Add a member's setting; members with the same data share them."""
        directory = self._directory(index)
        if not (self.resume and directory.begun):
            directory.refuse_if_used()
        config = self.members[index][1]
        seed = config.seed if config.data.seeded else ""
        key = f"{config.data.model_dump_json()} {seed}"
        if key not in self._data:
            self._data[key] = data.load(config.data, config.seed)
        settings[index] = prepare_run(config, directory, self._data[key])

    def _run_alone(self, index: int) -> None:
        directory, config = self._directory(index), self.members[index][1]
        resume = self.resume and directory.begun
        shelf = self.out / GENERATORS
        seconds = self._attempt(index, lambda: run(config, out=directory.path, resume=resume, generators=shelf))
        if seconds is not None:
            self._end(index, None, seconds)

    def _run_group(self, settings: dict[int, FederatedProblem]) -> None:
        """Run members of one signature, chunk after chunk; those with the same data next to each other."""
        first: dict[int, int] = {}  # data set -> the first member that uses it
        for index, setting in settings.items():
            first.setdefault(id(setting.samples), index)
        order = sorted(settings, key=lambda index: (first[id(settings[index].samples)], index))
        group = RunBatch([settings[index] for index in order])
        numbers = iter(order)
        for chunk in group.chunks:
            self._carry_out(list(itertools.islice(numbers, len(chunk))), chunk, group.runner)

    def _carry_out(
        self,
        indices: list[int],
        settings: list[FederatedProblem],
        programs: Callable[[Sequence[FederatedProblem]], RunPrograms],
    ) -> None:
        began = time.perf_counter()
        directories = [self._directory(index) for index in indices]
        ended = run_batch(settings, directories, programs, self._heard(len(indices)))
        seconds = (time.perf_counter() - began) / len(indices)
        for index, how in zip(indices, ended, strict=True):
            self._end(index, how if isinstance(how, Exception) else None, seconds)

    def _heard(self, count: int) -> Callable[[dict[str, Any]], None]:
        """A listener to the rounds of members side by side, which passes each round on once."""
        last = 0

        def listen(record: dict[str, Any]) -> None:
            nonlocal last
            if record["round"] > last:
                last = record["round"]
                self.on_round(count, last)

        return listen

    def _attempt(self, index: int, work: Callable[[], Any]) -> float | None:
        """Do something for one member; how many seconds it took. Where it fails, the member ends, and it is None."""
        began = time.perf_counter()
        try:
            work()
        except Interrupted:
            raise
        except Exception as problem:
            self._end(index, problem, time.perf_counter() - began)
            return None
        return time.perf_counter() - began

    def _end(self, index: int, problem: Exception | None, seconds: float) -> None:
        error = ""
        if problem is not None:
            error = str(problem) if isinstance(problem, BoflError) else f"{type(problem).__name__}: {problem}"
        member = self.members[index][0]
        self.results[index] = Result(member, self.out / member.name, " ".join(error.split()), seconds)
        self.on_member(len(self.results), len(self.members), self.results[index])

    def _directory(self, index: int) -> RunDirectory:
        return RunDirectory(self.out / self.members[index][0].name)
