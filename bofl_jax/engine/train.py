"""The public training loop: a generator that yields every round of one run, or of some runs side by side."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from bofl_jax.engine.cohort import Cohort, draw_cohort
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.programs import RunPrograms, SingleRunPrograms
from bofl_jax.engine.state import RoundInfo, TrainState, initial_state


class TrainedRound(NamedTuple):
    """One round. The device may still be computing ``state`` and ``info``: reading a value waits for it."""

    number: int  # from 1
    cohorts: Sequence[Cohort]  # of each run
    before: TrainState  # the state before the round
    state: TrainState  # the state after it
    info: RoundInfo  # what explains it


class DrawCohorts(Protocol):
    """Call signature of the argument ``draw`` of `train`."""

    def __call__(self, number: int, /) -> Sequence[Cohort]:
        """Return the cohort of each run for round ``number``."""
        ...


def train(
    problem: FederatedProblem,
    *,
    programs: RunPrograms | None = None,
    state: TrainState | None = None,
    rounds: int | None = None,
    first_round: int = 1,
    draw: DrawCohorts | None = None,
) -> Iterator[TrainedRound]:
    """Train round after round.

    A round is started before it is yielded, and the next one when the caller asks for it. What the caller does in
    between runs while the device computes, until it reads a value of ``state`` or ``info``.

    Args:
        problem: of the run; of several runs side by side, that of any of them.
        programs: programs whose ``prepare`` the caller has called; those of the single run when left out.
        state: the state before ``first_round``; the initial state when left out.
        rounds: number of the last round; ``federation.rounds`` when left out.
        first_round: number of the first round, from 1.
        draw: draws the cohort of each run; every round draws from all clients of ``problem`` when left out.

    Yields:
        Every round from ``first_round`` to ``rounds``.
    """
    last = problem.config.federation.rounds if rounds is None else rounds
    prepared, programs = programs is not None, programs or SingleRunPrograms(problem)
    state = programs.join([initial_state(problem)]) if state is None else state
    draw = draw or (lambda number: [draw_cohort(problem.config.federation, problem.training, problem.root, number)])
    for number in range(first_round, last + 1):
        cohorts = draw(number)
        if not prepared and number == first_round:
            programs.prepare(state, cohorts)
        after, info = programs.round(state, cohorts, number)
        yield TrainedRound(number, cohorts, state, after, info)
        state = after
