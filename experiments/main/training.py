"""Train one arm under one protocol and test it, with or without a ledger."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from arms import ARMS, EVERY, PROTOCOLS, Protocol
from dealing import dealt
from plan import HERE

import bofl_jax as bofl
from bofl_jax import metrics
from bofl_jax.algorithms.personalisation import OwnOptions
from bofl_jax.balancing.workflow import with_synthetic_samples
from bofl_jax.core.types import Samples
from bofl_jax.engine.cohort import draw_cohort
from bofl_jax.engine.personalise import compile_personalise, personal_options
from bofl_jax.engine.predict import compile_predict, global_model
from bofl_jax.engine.problem import FederatedProblem, build_from_population, build_problem
from bofl_jax.engine.round import TrainState, compile_round, initial_state
from bofl_jax.parallel.clients import ExecutionPlan
from bofl_jax.results.requests import read_lines


class Tested(NamedTuple):
    """The test of a training."""

    probability: dict[str, np.ndarray]  # model -> float32[N, K]
    label: np.ndarray  # int32[N]
    client: np.ndarray  # int32[N]
    subject: np.ndarray  # int32[N], index into `subjects`
    subjects: tuple[str, ...]
    clients: int  # C
    classes: tuple[str, ...]
    by_round: dict[str, list[tuple[int, float]]]  # model -> rounds and macro-F1; empty where it is not followed
    synthetic: int = 0  # samples that nobody recorded


def configure(protocol: str, arm: str, seed: int, rounds: int | None = None, base: Any = HERE / "base.toml") -> Any:
    """The configuration of an arm under a protocol."""
    known, method = PROTOCOLS[protocol], ARMS[arm]
    overrides = {"seed": seed, **known.overrides, **method.overrides, **(method.unseen if known.unseen else {})}
    return bofl.load_config(base, overrides | ({"federation.rounds": rounds} if rounds else {}))


def governed(config: Any, directory: Path, samples: Samples) -> Tested:
    """A run with a chain of its own; one that is complete is not repeated."""
    if not (directory / "summary.json").exists():
        shutil.rmtree(directory, ignore_errors=True)  # of a run that was cut off
        bofl.run(config, directory)
        shutil.rmtree(directory / "checkpoints")
    with np.load(directory / "predictions.npz") as arrays:
        models = [name for name in ("global", "personalised") if f"{name}_probability" in arrays.files]
        probability = {name: arrays[f"{name}_probability"] for name in models}
        label, client, subject = (arrays[name] for name in ("label", "client", "subject"))
        clients = len(arrays["client_names"])
    used = sum(line["used"] for line in read_lines(directory))
    return Tested(probability, label, client, subject, samples.subjects, clients, samples.classes, {}, used)


def set_up(
    config: Any, protocol: Protocol, plan: ExecutionPlan, samples: Samples, batches: Path | None
) -> FederatedProblem:
    """What a training without a ledger holds still.

    Args:
        config: the configuration.
        protocol: whose samples are whose.
        plan: how clients run.
        samples: the pool.
        batches: directory of the governed run whose approved synthetic batches train too.
    """
    if protocol.alpha is None:
        setting = build_problem(config, plan, samples)
    else:
        setting = build_from_population(
            config, plan, samples, dealt(samples, config.partition, protocol.alpha, config.seed)
        )
    return with_synthetic_samples(setting, batches) if batches else setting


def ungoverned(setting: FederatedProblem, protocol: Protocol) -> Tested:
    """All rounds without a ledger, and the test."""
    models = Models(setting, protocol)
    state, by_round = initial_state(setting), {}
    if not models.trains_late:
        state, by_round = train(setting, models if protocol.followed else None)
    population, samples = setting.population, setting.samples
    sample, client = population.test.flat()
    where = (samples.y[sample], client, samples.subject[sample], samples.subjects)
    return Tested(models(state), *where, population.clients, samples.classes, by_round, setting.synthetic)


class Models:
    """The models that a training ends in, tested whenever they are asked for; programs are compiled once."""

    def __init__(self, setting: FederatedProblem, protocol: Protocol) -> None:
        self.setting = _only_tested_adapt(setting)
        self.trains_late = protocol.unseen and setting.config.federation.algorithm == "local"
        self.options = _alone(setting) if self.trains_late else personal_options(setting)
        self._programs: dict[str, Callable] = {}

    def __call__(self, state: TrainState) -> dict[str, np.ndarray]:
        """model -> float32[N, K]: probabilities of the test samples, client after client."""
        setting, options, found = self.setting, self.options, {}
        if setting.has_global:
            model = global_model(setting, state)
            found["global"] = self._once("global", lambda: compile_predict(setting, model, own=False))(model)
        if options:
            own = self._once("adapt", lambda: compile_personalise(setting, state, options))(state, options.steps)
            found["personalised"] = self._once("own", lambda: compile_predict(setting, own, own=True))(own)
        return found

    def macro_f1(self, state: TrainState) -> dict[str, float]:
        """Of each model, over all test samples."""
        label = self.setting.samples.y[self.setting.population.test.flat()[0]]
        everything = np.ones(len(label), bool)
        matrices = {name: metrics.confusion(p, label, everything) for name, p in self(state).items()}
        return {name: float(metrics.macro_f1(matrix)) for name, matrix in matrices.items()}

    def _once(self, name: str, build: Callable[[], Callable]) -> Callable:
        if name not in self._programs:
            self._programs[name] = build()
        return self._programs[name]


def train(setting: FederatedProblem, followed: Models | None) -> tuple[TrainState, dict[str, list[tuple[int, float]]]]:
    """All rounds; the state at the end, and the scores every `EVERY` rounds of models that are followed."""
    rounds = setting.config.federation.rounds
    state, one_round, by_round = initial_state(setting), None, {}
    for number in range(1, rounds + 1):
        cohort = draw_cohort(setting.config.federation, setting.training, setting.root, number)
        one_round = one_round or compile_round(setting, state, cohort, "off")
        state, info = one_round(state, cohort, number, setting.lr[number - 1])
        if followed and (number % EVERY == 0 or number == rounds):
            for name, score in followed.macro_f1(state).items():
                by_round.setdefault(name, []).append((number, score))
    if not np.isfinite(np.asarray(info.loss)).all():
        raise bofl.BoflError("training diverged: lower optimizer.lr in plan.py")
    return state, by_round


def _alone(setting: FederatedProblem) -> OwnOptions:
    """Patients that are tested alone train on their labelled minutes, for as long as the federation did."""
    federation, optimizer = setting.config.federation, setting.config.optimizer
    return OwnOptions(method="own", steps=federation.rounds * federation.local_steps, lr=optimizer.lr / 2)


def _only_tested_adapt(setting: FederatedProblem) -> FederatedProblem:
    """The same, without the adaptation of patients that are not tested."""
    population = setting.population
    adapt = population.adapt._replace(size=np.where(population.test.size > 0, population.adapt.size, 0))
    return dataclasses.replace(setting, population=dataclasses.replace(population, adapt=adapt))
