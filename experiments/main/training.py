"""Train one arm under one protocol and test it, with or without a ledger."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import bofl_jax as bofl
from bofl_jax import Samples, metrics
from bofl_jax.balancing import with_synthetic_samples
from bofl_jax.engine import (
    FederatedProblem,
    TrainedRound,
    TrainState,
    build_from_population,
    build_problem,
    initial_state,
    personal_options,
)
from bofl_jax.parallel import ExecutionPlan
from bofl_jax.results import read_requests
from bofl_jax.results.predictions import MODELS, read_prediction_arrays
from experiments.common.training import Predictor, complete_run, local_training_options, train_all_rounds
from experiments.main.arms import ARMS, PROTOCOLS, TEST_INTERVAL, Protocol
from experiments.main.dirichlet import dirichlet_population
from experiments.main.plan import HERE


class Predictions(NamedTuple):
    """Predictions of a training for its test samples."""

    probability: dict[str, np.ndarray]  # model -> float32[N, K]
    label: np.ndarray  # int32[N]
    client: np.ndarray  # int32[N]
    subject: np.ndarray  # int32[N], index into `subjects`
    subjects: tuple[str, ...]
    clients: int  # C
    classes: tuple[str, ...]
    by_round: Mapping[str, list[tuple[int, float]]]  # model -> rounds and macro-F1; empty unless tested by round
    synthetic: int = 0  # number of synthetic samples that trained


def configure(
    protocol: str, arm: str, seed: int, rounds: int | None = None, base: Any = HERE / "base.toml"
) -> bofl.Config:
    """The configuration of an arm under a protocol.

    Args:
        protocol: name of the protocol.
        arm: name of the arm.
        seed: root seed.
        rounds: number of rounds; that of the protocol when left out.
        base: configuration that the overrides apply to.
    """
    overrides = {"seed": seed, **PROTOCOLS[protocol].overrides, **ARMS[arm].overrides}
    if PROTOCOLS[protocol].unseen:
        overrides |= ARMS[arm].unseen
    if rounds:
        overrides["federation.rounds"] = rounds
    return bofl.load_config(base, overrides)


def run_governed(config: bofl.Config, directory: Path, samples: Samples) -> Predictions:
    """Carry out a run with a ledger of its own, unless it is complete, and read its test predictions.

    Args:
        config: the configuration.
        directory: the run directory.
        samples: the pool.
    """
    complete_run(config, directory)
    arrays = read_prediction_arrays(directory)
    probability = {name: arrays[f"{name}_probability"] for name in MODELS if f"{name}_probability" in arrays}
    label, client, subject = (arrays[name] for name in ("label", "client", "subject"))
    clients, synthetic = len(arrays["client_names"]), sum(line["used"] for line in read_requests(directory))
    return Predictions(probability, label, client, subject, samples.subjects, clients, samples.classes, {}, synthetic)


def build_ungoverned(
    config: bofl.Config, protocol: Protocol, plan: ExecutionPlan, samples: Samples, batches: Path | None
) -> FederatedProblem:
    """Build the problem of a training without a ledger.

    Args:
        config: the configuration.
        protocol: how samples are assigned to clients.
        plan: how clients run.
        samples: the pool.
        batches: directory of the governed run whose approved synthetic batches are added to the training samples.
    """
    if protocol.alpha is None:
        problem = build_problem(config, plan, samples)
    else:
        population = dirichlet_population(samples, config.partition, protocol.alpha, config.seed)
        problem = build_from_population(config, plan, samples, population)
    return with_synthetic_samples(problem, batches) if batches else problem


def train_ungoverned(problem: FederatedProblem, protocol: Protocol) -> Predictions:
    """Train all rounds without a ledger, and test the models.

    Args:
        problem: the problem.
        protocol: when models are tested.
    """
    models = Models(problem, protocol)
    by_round: dict[str, list[tuple[int, float]]] = {}

    def record(trained: TrainedRound) -> None:
        if trained.number % TEST_INTERVAL == 0 or trained.number == problem.config.federation.rounds:
            for name, score in models.macro_f1(trained.state).items():
                by_round.setdefault(name, []).append((trained.number, score))

    if models.train_alone:
        state = initial_state(problem)
    else:
        state = train_all_rounds(problem, record if protocol.by_round else None)
    population, samples = problem.population, problem.samples
    sample, client = population.test.flat()
    where = (samples.y[sample], client, samples.subject[sample], samples.subjects)
    return Predictions(
        models.probabilities(state), *where, population.clients, samples.classes, by_round, problem.synthetic
    )


class Models:
    """The models that a training ends in, and their tests after any round.

    Attributes:
        train_alone: whether the tested patients train on their labelled minutes alone, after the rounds.
    """

    def __init__(self, problem: FederatedProblem, protocol: Protocol) -> None:
        self.train_alone = protocol.unseen and problem.config.federation.algorithm == "local"
        self._problem = problem
        self._options = local_training_options(problem) if self.train_alone else personal_options(problem)
        self._predictor = Predictor(problem)

    def probabilities(self, state: TrainState) -> dict[str, np.ndarray]:
        """Model -> float32[N, K]: probabilities of the test samples, client after client."""
        found = {}
        if self._problem.has_global:
            found["global"] = self._predictor.of_global(state)
        if self._options:
            found["personalised"] = self._predictor.of_personal(state, self._options, self._options.steps)
        return found

    def macro_f1(self, state: TrainState) -> dict[str, float]:
        """Macro-F1 of each model over all test samples."""
        label = self._problem.samples.y[self._problem.population.test.flat()[0]]
        mask = np.ones(len(label), bool)
        matrices = {name: metrics.confusion(p, label, mask) for name, p in self.probabilities(state).items()}
        return {name: float(metrics.macro_f1(matrix)) for name, matrix in matrices.items()}
