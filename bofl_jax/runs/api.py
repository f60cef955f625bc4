"""The public function `run`, and `run_batch` below it: from configurations to run directories."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

import jax

from bofl_jax.balancing.generator_cache import GeneratorCache
from bofl_jax.config import Config
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.programs import RunPrograms, SingleRunPrograms
from bofl_jax.engine.state import TrainState
from bofl_jax.parallel import devices
from bofl_jax.parallel.processes import is_coordinator
from bofl_jax.runs import multihost
from bofl_jax.runs.directory import RunDirectory
from bofl_jax.runs.ledger_worker import ledger_thread
from bofl_jax.runs.loop import Interrupted, run_sessions
from bofl_jax.runs.open_run import PreparedRun, open_run
from bofl_jax.runs.session import RoundCallback, Run, RunSession


class RunStart(NamedTuple):
    """What is known of a run when its data are loaded, before anything is compiled."""

    clients: int  # C
    samples: int  # N, of all clients and roles
    rounds: int  # R
    completed_rounds: int  # more than 0 for a resumed run
    backend: str  # of JAX: cpu, gpu or tpu
    devices: int  # that share the clients among them


class StartCallback(Protocol):
    """A function that `run` calls once."""

    def __call__(self, start: RunStart, /) -> None:
        """Receive what is known of the run before anything is compiled."""


class MakePrograms(Protocol):
    """A function that makes the programs of some runs."""

    def __call__(self, problems: Sequence[FederatedProblem], /) -> RunPrograms:
        """Make the programs of runs side by side."""


def run(
    config: Config,
    out: str | Path | None = None,
    resume: bool = False,
    on_round: RoundCallback | None = None,
    generator_cache: str | Path | None = None,
    on_start: StartCallback | None = None,
) -> Run:
    """Run a configuration.

    After `jax.distributed.initialize`, every process calls this function with the same configuration. The coordinator
    writes the run directory and calls ``on_start`` and ``on_round``; all processes return the run.

    Args:
        config: the configuration, from `load_config`.
        out: run directory; ``runs/<name>`` when left out.
        resume: continue after the last completed round in ``out``.
        on_round: called with each line of ``rounds.jsonl`` when it is written.
        generator_cache: folder of fitted neural generators for runs that differ in quota, dose or gates. Generators
            that it lacks are fitted and kept there. It changes no result.
        on_start: called once, when the data are loaded and before anything is compiled.

    Raises:
        BoflError: if the configuration cannot be carried out; one line says what to change.
        Interrupted: on Ctrl-C, after the current round was completed and saved.
    """
    directory = RunDirectory(Path(out) if out else Path("runs") / config.name)
    cache = GeneratorCache(Path(generator_cache)) if generator_cache else None
    devices.configure_devices(config.engine)  # before the first use of JAX
    prepared = multihost.check_same_inputs(lambda: open_run(config, directory, resume).prepare())
    if not is_coordinator():
        return multihost.run_as_worker(prepared.problem, directory.path)

    def run_with(wrap: Callable[[RunPrograms], RunPrograms]) -> Run:
        if on_start:
            on_start(_start_of(prepared))
        try:
            return run_one(prepared.fit_to_memory(), on_round, cache, wrap)
        except Interrupted as stop:
            raise Interrupted(f"{stop}; go on with --resume --out {directory.path}") from None

    return multihost.run_as_coordinator(run_with)


def _start_of(prepared: PreparedRun) -> RunStart:
    problem = prepared.problem
    return RunStart(
        clients=problem.population.clients,
        samples=len(problem.samples),
        rounds=problem.config.federation.rounds,
        completed_rounds=prepared.opened.completed_rounds,
        backend=jax.default_backend(),
        devices=problem.plan.devices,
    )


def run_one(
    prepared: PreparedRun,
    on_round: RoundCallback | None = None,
    generator_cache: GeneratorCache | None = None,
    wrap: Callable[[RunPrograms], RunPrograms] = lambda programs: programs,
) -> Run:
    """Carry out one run in this process.

    Args:
        prepared: the run.
        on_round: called with each line of ``rounds.jsonl`` when it is written.
        generator_cache: fitted neural generators of other runs, or None.
        wrap: applied to the programs of the run.

    Raises:
        Exception: any error that ended the run.
        Interrupted: on Ctrl-C, after the current round was completed and saved.
    """
    (outcome,) = run_batch([prepared], lambda problems: wrap(SingleRunPrograms(problems[0])), on_round, generator_cache)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def run_batch(
    runs: Sequence[PreparedRun],
    make_programs: MakePrograms,
    on_round: RoundCallback | None = None,
    generator_cache: GeneratorCache | None = None,
) -> list[Run | Exception]:
    """Carry out runs side by side.

    Args:
        runs: the runs, with the same number of completed rounds.
        make_programs: makes the programs that the runs share; called with the problems of the runs whose directory and
            ledger could be opened.
        on_round: called with each line of each ``rounds.jsonl`` when it is written.
        generator_cache: fitted neural generators of other runs, or None.

    Returns:
        Each run, or the error that ended it, in order.

    Raises:
        Interrupted: on Ctrl-C, after the current round was completed and saved for all runs.
    """
    devices.clear_program_cache()
    outcomes: dict[int, Run | Exception] = {}
    with ledger_thread() as thread, ExitStack() as open_sessions:
        sessions: dict[int, RunSession] = {}
        states: list[TrainState] = []
        for index, prepared in enumerate(runs):
            session = open_sessions.enter_context(RunSession(prepared, thread, on_round, generator_cache))
            try:
                states.append(session.open())
                sessions[index] = session
            except Exception as error:
                outcomes[index] = error
        if sessions:
            programs = make_programs([session.problem for session in sessions.values()])
            outcomes |= zip(sessions, run_sessions(programs, list(sessions.values()), states), strict=True)
    return [outcomes[index] for index in range(len(runs))]
