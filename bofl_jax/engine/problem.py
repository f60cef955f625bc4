"""A federated problem: the inputs that stay constant during a run, and what of them its programs take as arguments."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import aggregate, algorithms, data, models
from bofl_jax.algorithms import BuildContext, OwnOptions
from bofl_jax.config import Config
from bofl_jax.core.errors import BoflError
from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.padding import bucket_size, pad_to
from bofl_jax.core.types import Samples
from bofl_jax.engine.stages import Stages, build_stages
from bofl_jax.parallel.clients import ExecutionPlan
from bofl_jax.partition import ClientIndices, Population, Tiles, class_counts, pack, partition, tile

TILE = 128
"""Test samples that are predicted together; clients have different numbers of them."""


class TracedHyperparameters(NamedTuple):
    """The numbers of a run that its programs take as arguments, so that other runs can use the same programs."""

    root: jax.Array  # root of the run's keys
    class_weights: jax.Array  # float32[K], of the loss
    options: dict[str, jax.Array]  # float32 each, by dotted key; `Options.traced_fields` names them


class MethodParts(NamedTuple):
    """The parts of an algorithm, built for some hyperparameters."""

    algorithm: algorithms.LocalAlgorithm
    aggregator: aggregate.Aggregator
    loss: algorithms.Loss
    optimizer_loop: algorithms.OptimizerLoop  # the clients' optimiser


class BuildMethod(Protocol):
    """Call signature of ``FederatedProblem.build_method``."""

    def __call__(self, hyperparameters: TracedHyperparameters, /) -> MethodParts:
        """Build the parts of the algorithm; the hyperparameters may be traced."""
        ...


class ProgramInputs(NamedTuple):
    """Arguments of a run's programs that are the same in every round; the sample pool is not among them."""

    hyperparameters: TracedHyperparameters
    initial_params: models.Params  # the network's initial parameters
    training: ClientIndices
    adapt: ClientIndices
    test: Tiles
    weight: jax.Array  # float32, training samples of all clients


@dataclass(frozen=True)
class FederatedProblem:
    """The inputs that stay constant during a run.

    Attributes:
        config: the configuration.
        plan: how clients are executed.
        samples: the pool of N samples.
        population: the clients and their samples.
        training: the rows that train: those of each client, or one pooled row (``centralised``).
        model: the network.
        hyperparameters: the numbers that programs take as arguments.
        build_method: builds the algorithm for hyperparameters, which may be traced.
        stages: the stages of an update.
        synthetic: number of synthetic samples at the end of the pool.
        groups: groups of people whose recalls are compared, or None.
    """

    config: Config
    plan: ExecutionPlan
    samples: Samples
    population: Population
    training: ClientIndices
    model: models.Model
    hyperparameters: TracedHyperparameters
    build_method: BuildMethod
    stages: Stages = field(default_factory=Stages)
    synthetic: int = 0
    groups: data.Groups | None = None

    def with_hyperparameters(self, hyperparameters: TracedHyperparameters) -> "FederatedProblem":
        """The same problem with other hyperparameters, which may be traced."""
        return replace(self, hyperparameters=hyperparameters)

    @cached_property
    def parts(self) -> MethodParts:
        """The parts of the algorithm."""
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
    def optimizer_loop(self) -> algorithms.OptimizerLoop:
        """The clients' optimiser."""
        return self.parts.optimizer_loop

    @property
    def root(self) -> jax.Array:
        """The root of the run's keys."""
        return self.hyperparameters.root

    @cached_property
    def initial_params(self) -> models.Params:
        """The network's initial parameters, from the run's root key."""
        return self.model.init(derive(self.root, Purpose.MODEL))

    @cached_property
    def pool(self) -> algorithms.Batch:
        """All N samples on every device.

        With synthetic samples the pool is padded, so that runs with slightly different numbers of them share programs.
        """
        pool = pool_of(self.samples)
        if self.synthetic:
            size = bucket_size(len(self.samples))
            pool = algorithms.Batch(*(jnp.asarray(pad_to(column, size)) for column in _columns(self.samples)))
        replicated: algorithms.Batch = self.plan.replicate(pool)
        return replicated

    def recorded_counts(self, rows: ClientIndices) -> np.ndarray:
        """Recorded (not synthetic) samples by client and class among ``rows``, int64[C, K]."""
        first_synthetic = len(self.samples) - self.synthetic
        recorded = [own[own < first_synthetic] for own in map(rows.of, range(len(rows.size)))]
        return class_counts(pack(recorded), self.samples.y, len(self.samples.classes))

    @cached_property
    def sampler(self) -> algorithms.Sampler:
        """How batches are drawn."""
        options = self.config.federation
        return algorithms.Sampler(options.batch_size, options.sampling, options.augment_scale, options.augment_noise)

    @cached_property
    def lr(self) -> np.ndarray:
        """The learning rate of each round, float32[R]."""
        return algorithms.learning_rates(self.config.optimizer, self.config.federation.rounds)

    @property
    def shares(self) -> bool:
        """Whether clients send updates to a server."""
        return self.config.federation.shares_updates

    @property
    def keeps_updates(self) -> bool:
        """Whether a round returns the updates that arrived, so that clients can be valued."""
        return self.config.evaluate.contribution != "none"

    @property
    def has_global(self) -> bool:
        """Whether training ends in one global model that can be tested as it is."""
        return self.algorithm.has_global if self.shares else self.config.federation.name == "centralised"


def with_resolved_engine(config: Config, plan: ExecutionPlan) -> Config:
    """The configuration as a run directory holds it: with the values that "auto" was resolved to.

    Args:
        config: the configuration.
        plan: the resolved plan.
    """
    return config.model_copy(update={"engine": config.engine.model_copy(update=plan._asdict())})


def build_problem(config: Config, plan: ExecutionPlan, samples: Samples | None = None) -> FederatedProblem:
    """Load the data, assign them to clients, and build the network and the algorithm.

    Args:
        config: the configuration.
        plan: how clients are executed.
        samples: the pool; it is loaded from ``config.data`` when left out.

    Raises:
        BoflError: if data, clients and options cannot work together.
    """
    samples = samples or data.load(config.data, config.seed)
    return build_from_population(config, plan, samples, partition(samples, config.partition, config.seed))


def build_from_population(
    config: Config, plan: ExecutionPlan, samples: Samples, population: Population, synthetic: int = 0
) -> FederatedProblem:
    """Build the network and the algorithm for samples that are assigned to clients.

    Args:
        config: the configuration.
        plan: how clients are executed.
        samples: the pool of N samples.
        population: the clients and their samples.
        synthetic: number of synthetic samples at the end of the pool.

    Raises:
        BoflError: if clients and options cannot work together.
    """
    federation, classes = config.federation, len(samples.classes)
    cohort = getattr(federation, "cohort", None)
    if cohort and cohort > len(population.participants):
        raise BoflError(
            f"federation.cohort = {cohort}, but only {len(population.participants)} clients can train: lower it"
        )
    model = models.build(config.model, samples.x.shape[1], samples.x.shape[2], samples.features.shape[1], classes)
    counts = class_counts(population.train, samples.y, classes).sum(axis=0)

    def build_method(hyperparameters: TracedHyperparameters) -> MethodParts:
        known = _with_traced_values(config, hyperparameters.options)
        loss = algorithms.cross_entropy(model.apply, hyperparameters.class_weights)
        optimizer = algorithms.build_optimizer(known.optimizer)
        context = BuildContext(loss, optimizer, model, classes, population.clients, known.optimizer.server_lr)
        algorithm, aggregator = algorithms.build(known.federation, known.optimizer, context)
        return MethodParts(algorithm, aggregator, loss, algorithms.OptimizerLoop(optimizer))

    weights = algorithms.class_weights(counts, federation.class_weights)
    problem = FederatedProblem(
        config=config,
        plan=plan,
        samples=samples,
        population=population,
        training=_pooled(population) if federation.name == "centralised" else population.train,
        model=model,
        hyperparameters=TracedHyperparameters(root_key(config.seed), jnp.asarray(weights), _traced_values(config)),
        build_method=build_method,
        stages=build_stages(config),
        synthetic=synthetic,
        groups=_groups(config, samples),
    )
    jax.eval_shape(lambda key: problem.algorithm.initial_shared(model.init(key)), problem.root)  # do its layers exist?
    _check_personalisation(problem)
    if problem.keeps_updates and not problem.has_global:
        raise BoflError(
            f"federation.algorithm = '{federation.name}' ends in no model that is a classifier by itself, and "
            "evaluate.contribution values updates by such models: set it to 'none'"
        )
    return problem


def _groups(config: Config, samples: Samples) -> data.Groups | None:
    attribute = config.evaluate.groups
    return None if attribute == "none" else data.demographic_groups(config.data, samples.subjects, attribute)


def _traced_values(config: Config) -> dict[str, jax.Array]:
    """The options that are arguments of the programs; an option that is None stays out of them."""
    return {
        f"{section}.{name}": jnp.float32(getattr(options, name))
        for section, options in config.sections()
        for name in options.traced_fields
        if getattr(options, name) is not None
    }


def _with_traced_values(config: Config, values: dict[str, Any]) -> Config:
    """The configuration with other values of its traced fields."""
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


def program_inputs(problem: FederatedProblem) -> ProgramInputs:
    """The arguments of the problem's programs that are the same in every round."""
    population, training = problem.population, problem.training
    weight = jnp.float32(max(1, int(training.size.sum())))
    tiles = tile(population.test, TILE)
    return ProgramInputs(problem.hyperparameters, problem.initial_params, training, population.adapt, tiles, weight)


def _check_personalisation(problem: FederatedProblem) -> None:
    """Refuse personalisation that the algorithm cannot give."""
    name, personalise = problem.config.federation.name, problem.config.personalise
    algorithm, shares = problem.algorithm, problem.shares
    if shares and not algorithm.has_global and personalise.method == "none":
        other = "'own' or 'finetune'" if algorithm.personal_model else "'finetune'"
        raise BoflError(
            f"federation.algorithm = '{name}' ends in no model that is a classifier by itself: "
            f"set personalise.method = {other}"
        )
    if isinstance(personalise, OwnOptions) and not (shares and algorithm.personal_model):
        raise BoflError(
            f"federation.algorithm = '{name}' has no personal models of its own: set personalise.method = 'finetune'"
        )


def _pooled(population: Population) -> ClientIndices:
    return pack([population.train.flat()[0]])
