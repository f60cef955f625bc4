"""Federated training: the problem, the rounds, personalisation and prediction.

A run composed of these parts, without a run directory and without a ledger:

    problem = build_problem(config, resolve_plan(config.engine))
    for trained in train(problem):  # TrainedRound: number, cohorts, before, state, info
        ...
    probabilities = SingleRunPrograms(problem).test(trained.state)[0]  # of the test samples, by the global model
"""

from bofl_jax.engine.cohort import Cohort, draw_cohort
from bofl_jax.engine.personalise import compile_personalise, personal_options
from bofl_jax.engine.predict import compile_predict, global_model
from bofl_jax.engine.problem import (
    FederatedProblem,
    MethodParts,
    TracedHyperparameters,
    build_from_population,
    build_problem,
)
from bofl_jax.engine.programs import RunPrograms, SingleRunPrograms
from bofl_jax.engine.state import RoundInfo, TrainState, initial_state
from bofl_jax.engine.train import TrainedRound, train

__all__ = [
    "Cohort",
    "FederatedProblem",
    "MethodParts",
    "RoundInfo",
    "RunPrograms",
    "SingleRunPrograms",
    "TracedHyperparameters",
    "TrainState",
    "TrainedRound",
    "build_from_population",
    "build_problem",
    "compile_personalise",
    "compile_predict",
    "draw_cohort",
    "global_model",
    "initial_state",
    "personal_options",
    "train",
]
