"""The compiled programs of a run, compiled when they are first needed."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.personalise import compile_personalise, personal_options
from bofl_jax.engine.predict import compile_predict, global_model
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.round import CompiledRound, RoundInfo, TrainState, compile_round, digest_location
from bofl_jax.parallel.clients import local_copy

Tree = Any
T = TypeVar("T")


class RunPrograms(Protocol):
    """Programs for one run, or for some runs side by side: trees then have a leading axis, a row for each run."""

    @property
    def compile_s(self) -> float:
        """Seconds spent on compiling, a run's share."""

    def join(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all runs as one."""

    def split(self, tree: Tree) -> list[Tree]:
        """What belongs to each run."""

    def prepare(self, state: TrainState, cohorts: Sequence[Cohort]) -> None:
        """Compile what every round needs."""

    def round(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[TrainState, RoundInfo]:
        """Begin a round; the results are there when they are needed."""

    def test(self, state: TrainState) -> list[np.ndarray]:
        """float32[Ntest, K] for each run: probabilities by the shared model."""

    def personalise(self, state: TrainState) -> Tree:
        """The clients' own parameters."""

    def test_own(self, own: Tree) -> list[np.ndarray]:
        """float32[Ntest, K] for each run: probabilities by the clients' own models."""


class SingleRunPrograms:
    """The programs of one run: devices share out its clients."""

    def __init__(self, setting: FederatedProblem) -> None:
        self._compile_s = 0.0
        self._setting = setting
        self._round: CompiledRound | None = None
        self._predict: Callable[[Tree], np.ndarray] | None = None

    @property
    def compile_s(self) -> float:
        """Seconds spent on compiling."""
        return self._compile_s

    def join(self, states: Sequence[TrainState]) -> TrainState:
        """The one state."""
        return states[0]

    def split(self, tree: Tree) -> list[Tree]:
        """The one tree."""
        return [local_copy(tree)]

    def prepare(self, state: TrainState, cohorts: Sequence[Cohort]) -> None:
        """Compile what every round needs."""
        setting = self._setting
        self._round = self._timed(lambda: compile_round(setting, state, cohorts[0], digest_location(setting)))
        if setting.has_global:
            self._compile_test(state)

    def round(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[TrainState, RoundInfo]:
        """Begin a round."""
        assert self._round is not None
        return self._round(state, cohorts[0], number, self._setting.lr[number - 1])

    def test(self, state: TrainState) -> list[np.ndarray]:
        """Probabilities by the shared model."""
        return [self._compile_test(state)(global_model(self._setting, state))]

    def _compile_test(self, state: TrainState) -> Callable[[Tree], np.ndarray]:
        setting = self._setting
        if self._predict is None:
            self._predict = self._timed(lambda: compile_predict(setting, global_model(setting, state), own=False))
        return self._predict

    def personalise(self, state: TrainState) -> Tree:
        """The clients' own parameters."""
        options = personal_options(self._setting)
        assert options is not None
        return self._timed(lambda: compile_personalise(self._setting, state, options))(state, options.steps)

    def test_own(self, own: Tree) -> list[np.ndarray]:
        """Probabilities by the clients' own models."""
        return [self._timed(lambda: compile_predict(self._setting, own, own=True))(own)]

    def _timed(self, build: Callable[[], T]) -> T:
        began = time.perf_counter()
        built = build()
        self._compile_s += time.perf_counter() - began
        return built
