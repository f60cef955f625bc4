"""The rounds of one run, or of runs side by side.

Three stages overlap. While the devices train round n, the ledger's thread puts round n - 1 on the chain, and the main
thread then writes the record of round n - 1.
"""

import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from bofl_jax.core.errors import BoflError
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.personalise import personal_options
from bofl_jax.engine.programs import RunPrograms
from bofl_jax.engine.state import RoundInfo, TrainState
from bofl_jax.engine.train import TrainedRound, train
from bofl_jax.parallel.typed_jax import block_until_ready
from bofl_jax.runs.session import Run, RunSession


class Interrupted(BoflError):  # noqa: N818 - not an error: the completed rounds are kept
    """The user pressed Ctrl-C; the current round was completed and saved."""

    exit_code = 130


class _AllRunsFailedError(Exception):
    """Every run has failed."""


def run_sessions(
    programs: RunPrograms, sessions: Sequence[RunSession], states: Sequence[TrainState]
) -> list[Run | Exception]:
    """Train, personalise and evaluate runs with the same remaining rounds.

    Args:
        programs: programs that the runs share.
        sessions: the runs, after `RunSession.open`.
        states: the state of each run.

    Returns:
        Each run, or the error that ended it; the other runs continue after an error.

    Raises:
        Interrupted: on Ctrl-C, after the current round was completed and saved.
    """
    return _SessionLoop(programs, sessions).run(programs.join(states))


class _SessionLoop:
    def __init__(self, programs: RunPrograms, sessions: Sequence[RunSession]) -> None:
        self.programs, self.sessions = programs, sessions
        self.outcomes: dict[int, Run | Exception] = {}
        self._commit_previous: Callable[[], None] | None = None
        self._round_began = 0.0

    def run(self, state: TrainState) -> list[Run | Exception]:
        with suppress(_AllRunsFailedError):
            self._finish(self._train(state))
        return [self.outcomes[index] for index in range(len(self.sessions))]

    def _for_each_session(self, function: Callable[[int, RunSession], None]) -> None:
        """Call a function for every run that has not ended; an error ends that run only."""
        for index, session in enumerate(self.sessions):
            if index not in self.outcomes:
                try:
                    function(index, session)
                except Exception as error:
                    self.outcomes[index] = error
        if len(self.outcomes) == len(self.sessions) and all(isinstance(e, Exception) for e in self.outcomes.values()):
            raise _AllRunsFailedError

    def _train(self, state: TrainState) -> TrainState:
        """Train all remaining rounds."""
        problem = self.sessions[0].problem
        first, last = len(self.sessions[0].records) + 1, problem.config.federation.rounds
        if first > last:
            return state
        self.programs.prepare(state, self._draw_cohorts(first))  # Ctrl-C while programs are compiled stops at once
        with postponed_interrupt() as interrupted:
            for step in train(problem, programs=self.programs, state=state, first_round=first, draw=self._draw_cohorts):
                stop = self._complete_round(step, last, interrupted)
                state = step.state
                if stop and step.number < last:
                    raise Interrupted(f"stopped after round {step.number} of {last}")
        return state

    def _draw_cohorts(self, number: int) -> list[Cohort]:
        """Draw the cohort of each run; before the registry of clients changes, the previous round must be committed."""
        self._round_began = time.perf_counter()
        if any(session.registry_changes(number) for session in self.sessions):
            self._commit_pending_round()
        self._for_each_session(lambda _, session: session.draw_cohort(number))
        return [session.cohort for session in self.sessions]

    def _complete_round(self, step: TrainedRound, last: int, interrupted: threading.Event) -> bool:
        """Commit the previous round, wait for this one, and record it; returns whether to stop after it."""
        self._commit_pending_round()
        block_until_ready((step.state, step.info))
        infos = self._record(step)
        stop = interrupted.is_set()
        if stop or step.number == last:  # no round is trained meanwhile, so the time of the ledger belongs to this one
            self._for_each_session(lambda _, session: session.wait_for_ledger())
        self._set_round_seconds()
        self._record_contributions(step, infos)
        save = stop or step.number == last
        self._commit_previous = functools.partial(self._commit, step.before, step.state, save)
        if save:
            self._commit_pending_round()
        return stop

    def _record(self, step: TrainedRound) -> list[RoundInfo]:
        """Begin the record of a round; returns the info of each run."""
        infos, params = self.programs.split(step.info), self.programs.split(step.state.params)
        tested = [s.problem.has_global and s.is_evaluation_round(step.number) for s in self.sessions]
        probability = self.programs.test(step.state) if any(tested) else []

        def record(index: int, session: RunSession) -> None:
            session.begin_round_record(
                step.number, infos[index], params[index], probability[index] if tested[index] else None
            )

        self._for_each_session(record)
        return infos

    def _set_round_seconds(self) -> None:
        """Set the duration of the round: an equal share for each run."""
        seconds = (time.perf_counter() - self._round_began) / len(self.sessions)
        self._for_each_session(lambda _, session: session.set_round_seconds(seconds))

    def _record_contributions(self, step: TrainedRound, infos: list[RoundInfo]) -> None:
        """Estimate contributions where the configuration asks for them; not part of the round's duration."""
        estimated = [session.is_contribution_round(step.number) for session in self.sessions]
        before = self.programs.split(step.before.params) if any(estimated) else []

        def record(index: int, session: RunSession) -> None:
            if estimated[index]:
                session.record_contributions(step.number, infos[index], before[index])

        self._for_each_session(record)

    def _commit_pending_round(self) -> None:
        if self._commit_previous:
            commit, self._commit_previous = self._commit_previous, None
            commit()

    def _commit(self, before: TrainState, after: TrainState, save: bool) -> None:
        """Commit the round between two states of all runs; states are split between the runs only for a checkpoint."""
        split = [functools.cache(functools.partial(self.programs.split, state)) for state in (before, after)]
        self._for_each_session(
            lambda index, session: session.commit_round(lambda: split[0]()[index], lambda: split[1]()[index], save)
        )

    def _finish(self, state: TrainState) -> None:
        """Personalise, evaluate, and write the results of all runs."""
        problem = self.sessions[0].problem
        shared = self.programs.test(state) if problem.has_global else None
        personal = self.programs.personalise(state) if personal_options(problem) else None
        personalised = self.programs.test_own(personal) if personal is not None else None
        states, personal_params = self.programs.split(state), self.programs.split(personal)
        models = {"global": shared, "personalised": personalised}

        def finish(index: int, session: RunSession) -> None:
            probability = {name: each[index] for name, each in models.items() if each is not None}
            self.outcomes[index] = session.finish(
                states[index], probability, personal_params[index], self.programs.compile_s
            )

        self._for_each_session(finish)


@contextmanager
def postponed_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that the current round is completed; a second Ctrl-C stops at once.

    This also works in a process that was started with the signal ignored, as shells start background processes.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def handler(_number: int, _frame: FrameType | None) -> None:
        flag.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, handler)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)
