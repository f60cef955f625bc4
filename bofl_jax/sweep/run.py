"""The members of a grid, one after another in one process, which loads what they have in common once, and compiles
equal programs once.

Each member does exactly what it would do alone: its bits, its chain and its directory are those of ``bofl run``.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bofl_jax.core.errors import BoflError
from bofl_jax.federate import Interrupted, run
from bofl_jax.federate.results import RunDirectory, refuse_if_used
from bofl_jax.federate.run import resolved
from bofl_jax.federate.runtime import keep_programs
from bofl_jax.sweep.grid import Axis, Member, members, share
from bofl_jax.sweep.table import write_table

if TYPE_CHECKING:
    from bofl_jax.config import Config


class Result(NamedTuple):
    """How a member ended."""

    member: Member
    directory: Path
    error: str  # "" for a member that is complete
    seconds: float  # 0 for a member that was complete before


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


Load = Callable[[Mapping[str, Any]], "Config"]
"""a point of the grid -> its configuration."""


def sweep(
    load: Load,
    axes: Sequence[Axis],
    out: Path,
    resume: bool = False,
    shard: str = "1/1",
    on_member: Callable[[int, int, Result], None] | None = None,
) -> Sweep:
    """Run every member of a grid; one that fails is reported, and the others go on.

    Args:
        load: makes a member's configuration. All are made before the first one is run: a key or a value that is wrong
            costs no time.
        axes: the grid.
        out: where the members' directories go.
        resume: go on in ``out``; members that are complete are not repeated.
        shard: ``I/N``, this machine's part.
        on_member: called with a member's number, how many there are, and how it ended.

    Raises:
        BoflError: for a grid or a configuration that is wrong, or a folder that is in use.
        Interrupted: on Ctrl-C.
    """
    everyone = members(axes)
    mine = [(member, load(member.point)) for member in share(everyone, shard)]
    if not (resume and out.is_dir()):
        refuse_if_used(out, resumable=True)
    keep_programs()
    results: list[Result] = []
    try:
        for number, (member, config) in enumerate(mine, 1):
            results.append(_one(member, config, out / member.name, resume))
            if on_member:
                on_member(number, len(mine), results[-1])
    except Interrupted as error:
        raise Interrupted(
            f"stopped within member {mine[len(results)][0].name}, {len(results)} of {len(mine)} were done; "
            f"go on with --resume --out {out}"
        ) from error
    finally:
        errors = {result.member.name: result.error for result in results if result.error}
        if out.is_dir():
            write_table(out, everyone, errors)
    return Sweep(out, results)


def _one(member: Member, config: "Config", path: Path, resume: bool) -> Result:
    """Run one member, unless it is complete; whatever goes wrong in it stays its own affair."""
    directory = RunDirectory(path)
    began = time.perf_counter()
    try:
        if resume and directory.complete:
            directory.check_same(resolved(config)[0])
            return Result(member, path, "", 0.0)
        run(config, out=path, resume=resume and directory.begun)
        error = ""
    except Interrupted:
        raise
    except Exception as problem:
        error = str(problem) if isinstance(problem, BoflError) else f"{type(problem).__name__}: {problem}"
    return Result(member, path, " ".join(error.split()), time.perf_counter() - began)
