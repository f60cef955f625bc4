"""Trainings of an experiment: all rounds without a ledger, test predictions, and complete runs with a ledger."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

import bofl_jax as bofl
from bofl_jax.algorithms import FineTuneOptions, OwnOptions
from bofl_jax.engine import (
    FederatedProblem,
    TrainedRound,
    TrainState,
    compile_personalise,
    compile_predict,
    global_model,
    train,
)
from bofl_jax.results import is_complete


def train_all_rounds(
    problem: FederatedProblem, after_round: Callable[[TrainedRound], None] | None = None
) -> TrainState:
    """Train all rounds of a problem; returns the final state.

    Args:
        problem: the federated problem.
        after_round: called after each round.

    Raises:
        BoflError: if the loss of the last round is not finite.
    """
    for trained in train(problem):
        if after_round:
            after_round(trained)
    if not np.isfinite(np.asarray(trained.info.loss)).all():
        raise bofl.BoflError("training diverged: lower optimizer.lr in the experiment's plan")
    return trained.state


class Predictor:
    """Probabilities that the models of a training give the test samples, float32[N, K], client after client.

    Each program is compiled once, for the shapes of the first state.

    Attributes:
        problem: the problem, in which only clients with test samples adapt.
    """

    def __init__(self, problem: FederatedProblem) -> None:
        self.problem = adapt_only_tested(problem)
        self._programs: dict[str, Callable] = {}

    def of_global(self, state: TrainState) -> np.ndarray:
        """Probabilities of the global model."""
        model = global_model(self.problem, state)
        return self._compiled("global", lambda: compile_predict(self.problem, model, own=False))(model)

    def of_personal(self, state: TrainState, options: FineTuneOptions | OwnOptions, steps: int) -> np.ndarray:
        """Probabilities of the clients' personal models.

        Args:
            state: state after training.
            options: how clients personalise; the same in every call.
            steps: local steps of personalisation.
        """
        adapt = self._compiled("personalise", lambda: compile_personalise(self.problem, state, options))
        models = adapt(state, steps)
        return self._compiled("personal", lambda: compile_predict(self.problem, models, own=True))(models)

    def _compiled(self, name: str, compile_program: Callable[[], Callable]) -> Callable:
        if name not in self._programs:
            self._programs[name] = compile_program()
        return self._programs[name]


def adapt_only_tested(problem: FederatedProblem) -> FederatedProblem:
    """The same problem in which only clients with test samples adapt."""
    population = problem.population
    adapt = population.adapt._replace(size=np.where(population.test.size > 0, population.adapt.size, 0))
    return dataclasses.replace(problem, population=dataclasses.replace(population, adapt=adapt))


def local_training_options(problem: FederatedProblem) -> OwnOptions:
    """Unseen patients train alone on their labelled minutes, for as many local steps as the federation trained."""
    federation, optimizer = problem.config.federation, problem.config.optimizer
    return OwnOptions(method="own", steps=federation.rounds * federation.local_steps, lr=optimizer.lr / 2)


def complete_run(config: bofl.Config, directory: Path, generator_cache: Path | None = None) -> bofl.Run | None:
    """Carry out a run with its ledger, unless it is complete. A run that was interrupted starts again.

    Args:
        config: the configuration.
        directory: the run directory.
        generator_cache: folder of fitted generators that runs share.

    Returns:
        The run, or None if it was complete before.
    """
    if is_complete(directory):
        return None
    shutil.rmtree(directory, ignore_errors=True)
    run = bofl.run(config, directory, generator_cache=generator_cache)
    shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    return run
