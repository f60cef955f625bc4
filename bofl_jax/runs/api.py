"""The conductor: from configurations to run directories."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import jax

from bofl_jax.balancing.generator_cache import GeneratorCache
from bofl_jax.config import Config
from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.engine.memory import fit_to_memory
from bofl_jax.engine.problem import FederatedProblem, build_problem, with_resolved_engine
from bofl_jax.engine.programs import RunPrograms, SingleRunPrograms
from bofl_jax.parallel import devices
from bofl_jax.parallel.clients import ExecutionPlan, resolve
from bofl_jax.parallel.processes import is_coordinator
from bofl_jax.runs import multihost
from bofl_jax.runs.directory import RunDirectory
from bofl_jax.runs.ledger_worker import ledger_thread
from bofl_jax.runs.loop import Interrupted, training_loop
from bofl_jax.runs.session import Listener, Run, RunSession
from bofl_jax.synthesis import SynthesisOptions


def run(
    config: Config,
    out: str | Path | None = None,
    resume: bool = False,
    on_round: Listener | None = None,
    generators: str | Path | None = None,
) -> Run:
    """Run a configuration.

    After `jax.distributed.initialize`, every process calls this with the same configuration; the first one writes the
    run directory and calls ``on_round``, and all return the run.

    Args:
        config: from ``load_config``.
        out: run directory; ``runs/<name>`` when left out.
        resume: go on from the last completed round that ``out`` holds.
        on_round: called with every line of ``rounds.jsonl`` as it is written.
        generators: folder of fitted neural generators, which runs that differ in quota, dose or gates then share; what
            it lacks is fitted and kept there. No result depends on it.

    Raises:
        BoflError: if the request cannot be carried out; one line says what to mend.
        Interrupted: on Ctrl-C, after the round in hand was saved.
    """
    directory = RunDirectory(Path(out) if out else Path("runs") / config.name)
    shelf = GeneratorCache(Path(generators)) if generators else None

    def prepare() -> FederatedProblem:
        if is_coordinator() and not resume:
            directory.refuse_if_used()
        setting = prepare_run(config, directory)
        return fit_to_memory([setting])[0] if config.engine.execution == "auto" and not directory.begun else setting

    def conduct(shared: Callable[[RunPrograms], RunPrograms]) -> Run:
        try:
            (ended,) = run_batch(
                [setting], [directory], lambda settings: shared(SingleRunPrograms(settings[0])), on_round, shelf
            )
        except Interrupted as stop:
            raise Interrupted(f"{stop}; go on with --resume --out {directory.path}") from None
        if isinstance(ended, Exception):
            raise ended
        return ended

    devices.configure_devices(config.engine)  # before JAX is asked for anything
    setting = multihost.check_same_inputs(prepare)
    return (
        multihost.run_as_coordinator(conduct) if is_coordinator() else multihost.run_as_worker(setting, directory.path)
    )


def run_batch(
    settings: Sequence[FederatedProblem],
    directories: Sequence[RunDirectory],
    programs: Callable[[Sequence[FederatedProblem]], RunPrograms],
    on_round: Listener | None = None,
    shelf: GeneratorCache | None = None,
) -> list[Run | Exception]:
    """Carry out runs side by side; how each one ended, in order.

    Args:
        settings: of the runs, which have the same rounds left.
        directories: theirs; begun ones are gone on with.
        programs: makes those that they share, for the runs that could be opened.
        on_round: called with every line of every ``rounds.jsonl`` as it is written.
        shelf: where neural generators are kept for other runs; None: nowhere.

    Raises:
        Interrupted: on Ctrl-C, after the round in hand was saved for all of them.
    """
    devices.clear_program_cache()
    ended: dict[int, Run | Exception] = {}
    with ledger_thread() as thread, ExitStack() as under_way:
        courses, states = {}, []
        for index, (setting, directory) in enumerate(zip(settings, directories, strict=True)):
            course = under_way.enter_context(RunSession(setting, directory, thread, on_round, shelf))
            try:
                begin(setting, directory)
                states.append(course.open())
                courses[index] = course
            except Exception as error:
                ended[index] = error
        if courses:
            runner = programs([course.setting for course in courses.values()])
            ended |= zip(courses, training_loop(runner, list(courses.values()), states), strict=True)
    return [ended[index] for index in range(len(settings))]


def begin(setting: FederatedProblem, directory: RunDirectory) -> None:
    """Begin a run directory, or see that the one that was begun is of the same configuration.

    Raises:
        BoflError: if it is of another, holds something else, or cannot be written.
    """
    if directory.begun:
        directory.check_same(setting.config)
    else:
        directory.refuse_if_used()
        directory.begin(setting.config)


def prepare_run(config: Config, directory: RunDirectory, samples: Samples | None = None) -> FederatedProblem:
    """Everything that a run holds still.

    Args:
        config: the configuration.
        directory: of the run; one that was begun says what "auto" came to then.
        samples: the pool, where it is at hand already.

    Raises:
        BoflError: if the directory is of another configuration, or the run cannot be carried out.
    """
    if jax.process_count() > 1 and isinstance(config.synthesis, SynthesisOptions):
        raise BoflError("synthetic samples are made in one process: leave --distributed out")
    if jax.process_count() > 1 and config.evaluate.contribution != "none":
        raise BoflError("evaluate.contribution looks at all updates in one process: leave --distributed out")
    known, plan = resolve_config(config, directory)
    if directory.begun and is_coordinator():
        directory.check_same(known)
    return build_problem(known, plan, samples)


def resolve_config(config: Config, directory: RunDirectory) -> tuple[Config, ExecutionPlan]:
    """The configuration as a run directory has it, and how clients run, before it is asked what the memory holds."""
    devices.configure_devices(config.engine)
    plan = resolve(config.engine)
    if config.engine.execution == "auto" and plan.execution == "vmap" and directory.begun:
        plan = directory.chunks() or plan
    return with_resolved_engine(config, plan), plan
