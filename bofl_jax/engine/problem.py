"""Everything that a run holds still: samples, clients, network, method, plan; and what of it programs are given."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import aggregate, algorithms, attacks, data, models
from bofl_jax.algorithms.options import OptimizerOptions, SharedOptions
from bofl_jax.algorithms.personalisation import OwnOptions
from bofl_jax.algorithms.registry import Given, build, build_optimizer
from bofl_jax.config import Config
from bofl_jax.core.errors import BoflError
from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.options import Options
from bofl_jax.core.padding import bucket_size, pad_to
from bofl_jax.core.types import Samples
from bofl_jax.parallel.clients import ExecutionPlan
from bofl_jax.partition import ClientIndices, Population, Tiles, class_counts, pack, partition, tile

TILE = 128
"""Samples that are predicted at a time; clients have unlike numbers of them."""


class TracedHyperparameters(NamedTuple):
    """The numbers of a run that its programs take as arguments, so that another run can use the same programs."""

    root: jax.Array  # of the run's keys
    class_weights: jax.Array  # float32[K], of the loss
    options: dict[str, jax.Array]  # float32 each, by dotted key; `Options.arguments` names them


class MethodParts(NamedTuple):
    """What a method is made of, once its numbers are known."""

    algorithm: algorithms.LocalAlgorithm  # of the rounds
    aggregator: aggregate.Aggregator
    loss: algorithms.Loss
    optimizer_loop: algorithms.OptimizerLoop  # the clients' optimiser


class ProgramInputs(NamedTuple):
    """What the programs of a run are given whatever the round, without the pool."""

    hyperparameters: TracedHyperparameters
    initial_params: models.Params  # the network's first parameters
    training: ClientIndices
    adapt: ClientIndices
    test: Tiles
    weight: jax.Array  # float32, training samples of all clients


@dataclass(frozen=True)
class FederatedProblem:
    """What does not change from round to round."""

    config: Config
    plan: ExecutionPlan
    samples: Samples
    population: Population
    training: ClientIndices  # rows that train: the clients' own, or one pooled row (centralised)
    model: models.Model
    hyperparameters: TracedHyperparameters
    build_method: Callable[[TracedHyperparameters], MethodParts]  # also for numbers that are traced
    synthetic: int = 0  # samples at the end of the pool that nobody recorded
    groups: data.Groups | None = None  # of people, whose recalls are compared

    def with_hyperparameters(self, numbers: TracedHyperparameters) -> "FederatedProblem":
        """The same with other numbers, which may be traced."""
        return replace(self, hyperparameters=numbers)

    @cached_property
    def parts(self) -> MethodParts:
        """The method, for the numbers at hand."""
        return self.build_method(self.hyperparameters)

    @property
    def algorithm(self) -> algorithms.LocalAlgorithm:
        """What a client does in a round."""
        return self.parts.algorithm

    @property
    def aggregator(self) -> aggregate.Aggregator:
        """What the server does in a round."""
        return self.parts.aggregator

    @property
    def loss(self) -> algorithms.Loss:
        """The loss of one batch."""
        return self.parts.loss

    @property
    def descent(self) -> algorithms.OptimizerLoop:
        """The clients' optimiser."""
        return self.parts.optimizer_loop

    @property
    def root(self) -> jax.Array:
        """The root of the run's keys."""
        return self.hyperparameters.root

    @cached_property
    def initial_params(self) -> models.Params:
        """The network's first parameters, from the run's root key."""
        return self.model.init(derive(self.root, Purpose.MODEL))

    @cached_property
    def pool(self) -> algorithms.Batch:
        """All N samples, on every device; with synthetic ones padded, so that runs with a few more share programs."""
        if not self.synthetic:
            return self.plan.replicate(pool_of(self.samples))
        size = bucket_size(len(self.samples))
        return self.plan.replicate(
            algorithms.Batch(*(jnp.asarray(pad_to(part, size)) for part in _columns(self.samples)))
        )

    def recorded_counts(self, rows: ClientIndices) -> np.ndarray:
        """int64[C, K]: the samples in rows that are no synthetic ones."""
        first_synthetic = len(self.samples) - self.synthetic
        recorded = [own[own < first_synthetic] for own in map(rows.of, range(len(rows.size)))]
        return class_counts(pack(recorded), self.samples.y, len(self.samples.classes))

    @cached_property
    def sampler(self) -> algorithms.Sampler:
        """How batches are drawn."""
        options = self.config.federation
        return algorithms.Sampler(options.batch_size, options.sampling, options.augment_scale, options.augment_noise)

    @cached_property
    def channel(self) -> attacks.Channel | None:
        """What lies between clients and server; None: nothing."""
        return attacks.channel(self.config.adversary)

    @cached_property
    def lr(self) -> np.ndarray:
        """float32[R]: the learning rate of each round."""
        return learning_rates(self.config.optimizer, self.config.federation.rounds)

    @property
    def shares(self) -> bool:
        """Whether clients send updates to a server."""
        return isinstance(self.config.federation, SharedOptions)

    @property
    def keeps_updates(self) -> bool:
        """Whether a round returns the updates that arrived, for what they are worth."""
        return self.config.evaluate.contribution != "none"

    @property
    def has_global(self) -> bool:
        """Whether training ends in one model that can be tested as it is."""
        return self.algorithm.has_global if self.shares else self.config.federation.algorithm == "centralised"


def with_resolved_engine(config: Config, plan: ExecutionPlan) -> Config:
    """The configuration as a run directory holds it: with the values that "auto" was resolved to."""
    return config.model_copy(update={"engine": config.engine.model_copy(update=plan._asdict())})


def build_problem(config: Config, plan: ExecutionPlan, samples: Samples | None = None) -> FederatedProblem:
    """Load the data, deal them out, build the network.

    Args:
        config: the configuration.
        plan: how clients run.
        samples: the pool, where it is at hand already; ``config.data`` is loaded otherwise.

    Raises:
        BoflError: for data, clients or options that cannot work together.
    """
    samples = samples or data.load(config.data, config.seed)
    return build_from_population(config, plan, samples, partition(samples, config.partition, config.seed))


def build_from_population(
    config: Config, plan: ExecutionPlan, samples: Samples, population: Population, synthetic: int = 0
) -> FederatedProblem:
    """Build network and method for samples that are dealt out.

    Args:
        config: the configuration.
        plan: how clients run.
        samples: the pool.
        population: whose they are.
        synthetic: how many samples at the end of the pool nobody recorded.

    Raises:
        BoflError: for clients or options that cannot work together.
    """
    federation, classes = config.federation, len(samples.classes)
    cohort = federation.cohort if isinstance(federation, SharedOptions) else None
    if cohort and cohort > len(population.participants):
        raise BoflError(
            f"federation.cohort = {cohort}, but only {len(population.participants)} clients can train: lower it"
        )
    model = models.build(config.model, samples.x.shape[1], samples.x.shape[2], samples.features.shape[1], classes)
    counts = class_counts(population.train, samples.y, classes).sum(axis=0)

    def form(numbers: TracedHyperparameters) -> MethodParts:
        known = _with_traced_values(config, numbers.options)
        loss = algorithms.cross_entropy(model.apply, numbers.class_weights)
        optimizer = build_optimizer(known.optimizer)
        given = Given(loss, optimizer, model, classes, population.clients, known.optimizer.server_lr)
        algorithm, aggregator = build(federation.algorithm, known.federation, known.optimizer, given)
        return MethodParts(algorithm, aggregator, loss, algorithms.OptimizerLoop(optimizer))

    weights = algorithms.class_weights(counts, federation.class_weights)
    setting = FederatedProblem(
        config=config,
        plan=plan,
        samples=samples,
        population=population,
        training=_pooled(population) if federation.algorithm == "centralised" else population.train,
        model=model,
        hyperparameters=TracedHyperparameters(root_key(config.seed), jnp.asarray(weights), _traced_values(config)),
        build_method=form,
        synthetic=synthetic,
        groups=_groups(config, samples),
    )
    jax.eval_shape(
        lambda key: setting.algorithm.initial_shared(model.init(key)), setting.root
    )  # do the method's layers exist?
    _check_personal(config, setting.algorithm)
    if setting.keeps_updates and not setting.has_global:
        raise BoflError(
            f"federation.algorithm = '{federation.algorithm}' ends in no model that is a classifier by itself, and "
            "evaluate.contribution values updates by such models: set it to 'none'"
        )
    return setting


def _groups(config: Config, samples: Samples) -> data.Groups | None:
    attribute = config.evaluate.groups
    return None if attribute == "none" else data.groups_of(config.data, samples.subjects, attribute)


def _traced_values(config: Config) -> dict[str, jax.Array]:
    """The options that are arguments of the programs; one that is left out stays out of them."""
    found = {}
    for section, options in config:
        for name in options.traced_fields if isinstance(options, Options) else ():
            if getattr(options, name) is not None:
                found[f"{section}.{name}"] = jnp.float32(getattr(options, name))
    return found


def _with_traced_values(config: Config, values: dict[str, Any]) -> Config:
    """The configuration with other values of `Options.arguments`."""
    changed: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        changed.setdefault(section, {})[name] = value
    return config.model_copy(
        update={section: getattr(config, section).model_copy(update=new) for section, new in changed.items()}
    )


def pool_of(samples: Samples) -> algorithms.Batch:
    """The samples as programs see them."""
    return algorithms.Batch(*map(jnp.asarray, _columns(samples)))


def _columns(samples: Samples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return samples.x, samples.features, samples.y


def program_inputs(setting: FederatedProblem) -> ProgramInputs:
    """What the run's programs are given in every round."""
    population, training = setting.population, setting.training
    weight = jnp.float32(max(1, int(training.size.sum())))
    return ProgramInputs(
        setting.hyperparameters, setting.initial_params, training, population.adapt, tile(population.test, TILE), weight
    )


def _check_personal(config: Config, algorithm: algorithms.LocalAlgorithm) -> None:
    """Can what is asked of personalisation come out of this method?"""
    name, method = config.federation.algorithm, config.personalise.method
    shares = isinstance(config.federation, SharedOptions)
    if shares and not algorithm.has_global and method == "none":
        other = "'own' or 'finetune'" if algorithm.personal_model else "'finetune'"
        raise BoflError(
            f"federation.algorithm = '{name}' ends in no model that is a classifier by itself: "
            f"set personalise.method = {other}"
        )
    if isinstance(config.personalise, OwnOptions) and not (shares and algorithm.personal_model):
        raise BoflError(
            f"federation.algorithm = '{name}' has no models of the clients' own: set personalise.method = 'finetune'"
        )


def _pooled(population: Population) -> ClientIndices:
    return pack([population.train.flat()[0]])


def learning_rates(options: OptimizerOptions, rounds: int) -> np.ndarray:
    """float32[R]: the learning rate of each round.

    >>> learning_rates(OptimizerOptions(lr=0.5, schedule="halving"), 10).tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]
    """
    done = np.arange(rounds) / rounds
    factor = {
        "constant": np.ones(rounds),
        "halving": np.where(done < 0.5, 1.0, np.where(done < 0.8, 0.5, 0.25)),
        "cosine": (1 + np.cos(np.pi * done)) / 2,
    }[options.schedule]
    return (options.lr * factor).astype(np.float32)
