"""The compiled programs of a run; each is compiled when it is first needed."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.compile import CompiledRound, compile_round, digest_location
from bofl_jax.engine.personalise import compile_personalise, personal_options
from bofl_jax.engine.predict import Predict, compile_predict, global_model
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.state import RoundInfo, TrainState
from bofl_jax.parallel.clients import local_copy

Tree = Any
T = TypeVar("T")


class RunPrograms(Protocol):
    """Programs of one run, or of several runs side by side, whose trees have a leading axis with a row for each run."""

    @property
    def compile_s(self) -> float:
        """Seconds spent on compilation, divided by the number of runs that share the programs."""

    def join(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all runs as one tree."""

    def split(self, tree: Tree) -> list[Tree]:
        """The part of a tree that belongs to each run."""

    def prepare(self, state: TrainState, cohorts: Sequence[Cohort]) -> None:
        """Compile the programs that every round needs.

        Args:
            state: before the first round, for its shapes.
            cohorts: of each run, for their sizes.
        """

    def round(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[TrainState, RoundInfo]:
        """Start a round; the device may still be computing the results.

        Args:
            state: before the round.
            cohorts: of each run.
            number: of the round, from 1.
        """

    def test(self, state: TrainState) -> list[np.ndarray]:
        """Test probabilities by the global model for each run, float32[Ntest, K]."""

    def personalise(self, state: TrainState) -> Tree:
        """The personal parameters of all clients, ``[C, ...]``."""

    def test_own(self, own: Tree) -> list[np.ndarray]:
        """Test probabilities by the personal models for each run, float32[Ntest, K]."""


class SingleRunPrograms:
    """The programs of one run; its clients are divided among the devices."""

    def __init__(self, problem: FederatedProblem) -> None:
        self._compile_s = 0.0
        self._setting = problem
        self._round: CompiledRound | None = None
        self._predict: Predict | None = None

    @property
    def compile_s(self) -> float:
        """Seconds spent on compilation."""
        return self._compile_s

    def join(self, states: Sequence[TrainState]) -> TrainState:
        """The state of the one run."""
        return states[0]

    def split(self, tree: Tree) -> list[Tree]:
        """The tree of the one run, as a copy of this process."""
        return [local_copy(tree)]

    def prepare(self, state: TrainState, cohorts: Sequence[Cohort]) -> None:
        """Compile the programs that every round needs, as in `RunPrograms.prepare`."""
        problem = self._setting
        self._round = self._timed(lambda: compile_round(problem, state, cohorts[0], digest_location(problem)))
        if problem.has_global:
            self._compile_test(state)

    def round(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[TrainState, RoundInfo]:
        """Start a round, as in `RunPrograms.round`."""
        assert self._round is not None
        return self._round(state, cohorts[0], number, self._setting.lr[number - 1])

    def test(self, state: TrainState) -> list[np.ndarray]:
        """Test probabilities by the global model, float32[Ntest, K]."""
        return [self._compile_test(state)(global_model(self._setting, state))]

    def _compile_test(self, state: TrainState) -> Predict:
        problem = self._setting
        if self._predict is None:
            self._predict = self._timed(lambda: compile_predict(problem, global_model(problem, state), own=False))
        return self._predict

    def personalise(self, state: TrainState) -> Tree:
        """The personal parameters of all clients, ``[C, ...]``."""
        options = personal_options(self._setting)
        assert options is not None
        return self._timed(lambda: compile_personalise(self._setting, state, options))(state, options.steps)

    def test_own(self, own: Tree) -> list[np.ndarray]:
        """Test probabilities by the personal models, float32[Ntest, K]."""
        return [self._timed(lambda: compile_predict(self._setting, own, own=True))(own)]

    def _timed(self, build: Callable[[], T]) -> T:
        began = time.perf_counter()
        built = build()
        self._compile_s += time.perf_counter() - began
        return built
