"""All rounds of one run, or of some runs side by side. While the device trains a round, the ledger records the last."""

import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import jax

from bofl_jax.core.errors import BoflError
from bofl_jax.engine.personalise import personal_options
from bofl_jax.engine.programs import RunPrograms
from bofl_jax.engine.round import TrainState
from bofl_jax.runs.session import Run, RunSession


class Interrupted(BoflError):  # noqa: N818 - no error: what was done is kept
    """Ctrl-C: the round in hand was completed and saved."""

    exit_code = 130


class _AllRunsFailedError(Exception):
    """Every run has failed."""


def training_loop(
    runner: RunPrograms, courses: Sequence[RunSession], states: Sequence[TrainState]
) -> list[Run | Exception]:
    """Carry out runs of which the same rounds are left.

    Args:
        runner: their programs.
        courses: the runs, opened.
        states: what they go on from.

    Returns:
        How each one ended; one that fails does not take the others down.

    Raises:
        Interrupted: on Ctrl-C, after the round in hand was saved.
    """
    return _TrainingLoop(runner, courses).conduct(runner.join(states))


class _TrainingLoop:
    def __init__(self, runner: RunPrograms, courses: Sequence[RunSession]) -> None:
        self.runner, self.courses = runner, courses
        self.ended: dict[int, Run | Exception] = {}

    def conduct(self, state: TrainState) -> list[Run | Exception]:
        with suppress(_AllRunsFailedError):
            self._finish(self._train(state))
        return [self.ended[index] for index in range(len(self.courses))]

    def _each(self, work: Callable[[int, RunSession], None]) -> None:
        """Do something for every run that goes on; where it fails, the run ends."""
        for index, course in enumerate(self.courses):
            if index not in self.ended:
                try:
                    work(index, course)
                except Exception as error:
                    self.ended[index] = error
        if len(self.ended) == len(self.courses) and all(isinstance(e, Exception) for e in self.ended.values()):
            raise _AllRunsFailedError

    def _train(self, state: TrainState) -> TrainState:
        """All rounds that are left."""
        first, last = len(self.courses[0].records) + 1, self.courses[0].setting.config.federation.rounds
        if first > last:
            return state
        self._draw(first)
        self.runner.prepare(state, [course.cohort for course in self.courses])
        settle: Callable[..., None] | None = None
        with postponed_interrupt() as interrupted:
            for number in range(first, last + 1):
                began = time.perf_counter()
                if settle and any(course.registry_changes(number) for course in self.courses):
                    settle()
                    settle = None
                self._draw(number)
                after, info = self.runner.round(state, [course.cohort for course in self.courses], number)
                if settle:
                    settle()
                after, info = jax.block_until_ready((after, info))
                infos = self._record(number, after, info)
                stop = interrupted.is_set()
                if stop or number == last:  # nothing is trained meanwhile: the wait is part of the round
                    self._each(lambda _, course: course.wait())
                self._clock(began)
                self._value(number, state, infos)
                settle = functools.partial(self._settle, state, after)
                state = after
                if stop or number == last:
                    settle(save=True)
                if stop and number < last:
                    raise Interrupted(f"stopped after round {number} of {last}")
        return state

    def _draw(self, number: int) -> None:
        self._each(lambda _, course: course.draw_cohort(number))

    def _record(self, number: int, state: TrainState, info: Any) -> list[Any]:
        infos, params = self.runner.split(info), self.runner.split(state.params)
        tested = [course.setting.has_global and course.is_tested(number) for course in self.courses]
        probability = self.runner.test(state) if any(tested) else []

        def record(index: int, course: RunSession) -> None:
            course.begin_round_record(
                number, infos[index], params[index], probability[index] if tested[index] else None
            )

        self._each(record)
        return infos

    def _value(self, number: int, before: TrainState, infos: list[Any]) -> None:
        """What each client was worth to a round, where that is asked for; no part of the round's seconds."""
        valued = [course.is_valued(number) for course in self.courses]
        params = self.runner.split(before.params) if any(valued) else []

        def value(index: int, course: RunSession) -> None:
            if valued[index]:
                course.value_clients(number, infos[index], params[index])

        self._each(value)

    def _clock(self, began: float) -> None:
        """A round's seconds are shared by all runs."""
        seconds = (time.perf_counter() - began) / len(self.courses)
        self._each(lambda _, course: course.set_round_seconds(seconds))

    def _settle(self, before: TrainState, after: TrainState, save: bool = False) -> None:
        """The round between two states."""
        each_before, each_after = (functools.cache(functools.partial(self.runner.split, s)) for s in (before, after))
        self._each(
            lambda index, course: course.commit_round(lambda: each_before()[index], lambda: each_after()[index], save)
        )

    def _finish(self, state: TrainState) -> None:
        setting = self.courses[0].setting
        shared = self.runner.test(state) if setting.has_global else None
        own = self.runner.personalise(state) if personal_options(setting) else None
        personalised = self.runner.test_own(own) if own is not None else None
        states, owns = self.runner.split(state), self.runner.split(own)

        def finish(index: int, course: RunSession) -> None:
            models = {"global": shared, "personalised": personalised}
            probability = {name: found[index] for name, found in models.items() if found is not None}
            self.ended[index] = course.finish(states[index], probability, owns[index], self.runner.compile_s)

        self._each(finish)


@contextmanager
def postponed_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that the round in hand is completed; a second one stops at once.

    Both also where the process was started with the signal ignored, as a shell starts what it puts in the background.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def handler(_number: int, _frame: Any) -> None:
        flag.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, handler)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)
