"""The conductor: from configurations to run directories."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bofl_jax.federate import hosts, runtime
from bofl_jax.federate.conduct import Interrupted, conduct
from bofl_jax.federate.course import Course, Listener, Run
from bofl_jax.federate.execute import Plan, resolve
from bofl_jax.federate.record import ledger_thread
from bofl_jax.federate.results import RunDirectory
from bofl_jax.federate.runner import Alone, Runner
from bofl_jax.federate.setting import Setting, settle

if TYPE_CHECKING:
    from bofl_jax.config import Config


def run(config: "Config", out: str | Path | None = None, resume: bool = False, on_round: Listener | None = None) -> Run:
    """Run a configuration.

    After `jax.distributed.initialize`, every process calls this with the same configuration; the first one writes the
    run directory and calls ``on_round``, and all return the run.

    Args:
        config: from ``load_config``.
        out: run directory; ``runs/<name>`` when left out.
        resume: go on from the last completed round that ``out`` holds.
        on_round: called with every line of ``rounds.jsonl`` as it is written.

    Raises:
        BoflError: if the request cannot be carried out; one line says what to mend.
        Interrupted: on Ctrl-C, after the round in hand was saved.
    """
    directory = RunDirectory(Path(out) if out else Path("runs") / config.name)

    def prepare() -> Setting:
        known, plan = resolved(config)
        if hosts.conducts():
            if not resume:
                directory.refuse_if_used()
            if directory.begun:
                directory.check_same(known)
        return settle(known, plan)

    def conduct(shared: Callable[[Runner], Runner]) -> Run:
        try:
            (ended,) = carry_out([setting], [directory], lambda settings: shared(Alone(settings[0])), on_round)
        except Interrupted as stop:
            raise Interrupted(f"{stop}; go on with --resume --out {directory.path}") from None
        if isinstance(ended, Exception):
            raise ended
        return ended

    setting = hosts.agree(prepare)
    return hosts.lead(conduct) if hosts.conducts() else hosts.follow(setting, directory.path)


def carry_out(
    settings: Sequence[Setting],
    directories: Sequence[RunDirectory],
    programs: Callable[[Sequence[Setting]], Runner],
    on_round: Listener | None = None,
) -> list[Run | Exception]:
    """Carry out runs side by side; how each one ended, in order.

    Args:
        settings: of the runs, which have the same rounds left.
        directories: theirs; begun ones are gone on with.
        programs: makes those that they share, for the runs that could be opened.
        on_round: called with every line of every ``rounds.jsonl`` as it is written.

    Raises:
        Interrupted: on Ctrl-C, after the round in hand was saved for all of them.
    """
    ended: dict[int, Run | Exception] = {}
    with ledger_thread() as thread, ExitStack() as under_way:
        courses, states = {}, []
        for index, (setting, directory) in enumerate(zip(settings, directories, strict=True)):
            course = under_way.enter_context(Course(setting, directory, thread, on_round))
            try:
                begin(setting, directory)
                states.append(course.open())
                courses[index] = course
            except Exception as error:
                ended[index] = error
        if courses:
            runner = programs([course.setting for course in courses.values()])
            ended |= zip(courses, conduct(runner, list(courses.values()), states), strict=True)
    return [ended[index] for index in range(len(settings))]


def begin(setting: Setting, directory: RunDirectory) -> None:
    """Begin a run directory, or see that the one that was begun is of the same configuration.

    Raises:
        BoflError: if it is of another, holds something else, or cannot be written.
    """
    if directory.begun:
        directory.check_same(setting.config)
    else:
        directory.refuse_if_used()
        directory.begin(setting.config)


def resolved(config: "Config") -> tuple["Config", Plan]:
    """The configuration as a run directory has it, the way in which clients run settled for this machine."""
    runtime.prepare(config.engine)
    plan = resolve(config.engine)
    engine = {name: getattr(plan, name) for name in ("execution", "width", "devices", "blocks")}
    return config.model_copy(update={"engine": config.engine.model_copy(update=engine)}), plan
