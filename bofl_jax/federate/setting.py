"""Everything that a run holds still: samples, clients, network, local algorithm, plan."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import adversary, aggregate, data, local, models
from bofl_jax.core.errors import BoflError
from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.types import Samples
from bofl_jax.federate.execute import Plan
from bofl_jax.federate.methods import Given, build, build_optimizer
from bofl_jax.federate.options import OptimizerOptions, OwnOptions, SharedOptions
from bofl_jax.partition import Population, Rows, class_counts, pack, partition

if TYPE_CHECKING:
    from bofl_jax.config import Config


@dataclass(frozen=True)
class Setting:
    """What does not change from round to round."""

    config: "Config"
    plan: Plan
    samples: Samples
    population: Population
    training: Rows  # rows that train: the clients' own, or one pooled row (centralised)
    pool: local.Batch  # all N samples, on every device
    model: models.Model
    algorithm: local.LocalAlgorithm  # of the rounds
    loss: local.Loss
    descent: local.Descent  # the clients' optimiser
    sampler: local.Sampler
    aggregator: aggregate.Aggregator
    channel: adversary.Channel | None  # between clients and server; None: honest
    root: jax.Array
    lr: np.ndarray  # float32[R]

    @property
    def shares(self) -> bool:
        """Whether clients send updates to a server."""
        return isinstance(self.config.federation, SharedOptions)

    @property
    def has_global(self) -> bool:
        """Whether training ends in one model that can be tested as it is."""
        return self.algorithm.has_global if self.shares else self.config.federation.algorithm == "centralised"


def settle(config: "Config", plan: Plan, samples: Samples | None = None) -> Setting:
    """Load the data, deal them out, build the network.

    Args:
        config: the configuration.
        plan: how clients run.
        samples: the pool, where it is at hand already; ``config.data`` is loaded otherwise.

    Raises:
        BoflError: for data, clients or options that cannot work together.
    """
    samples = samples or data.load(config.data, config.seed)
    population = partition(samples, config.partition, config.seed)
    federation = config.federation
    cohort = federation.cohort if isinstance(federation, SharedOptions) else None
    if cohort and cohort > len(population.participants):
        raise BoflError(
            f"federation.cohort = {cohort}, but only {len(population.participants)} clients can train: lower it"
        )
    root = root_key(config.seed)
    model = models.build(
        config.model, samples.x.shape[1], samples.x.shape[2], samples.features.shape[1], len(samples.classes)
    )
    counts = class_counts(population.train, samples.y, len(samples.classes)).sum(axis=0)
    loss = local.cross_entropy(model.apply, local.class_weights(counts, federation.class_weights))
    optimizer = build_optimizer(config.optimizer)
    given = Given(loss, optimizer, model, len(samples.classes), population.clients, config.optimizer.server_lr)
    algorithm, aggregator = build(federation.algorithm, federation, config.optimizer, given)
    jax.eval_shape(lambda key: algorithm.share(model.init(key)), root)  # do the method's layers exist?
    _check_personal(config, algorithm)
    return Setting(
        config=config,
        plan=plan,
        samples=samples,
        population=population,
        training=_pooled(population) if federation.algorithm == "centralised" else population.train,
        pool=plan.replicate(local.Batch(*map(jnp.asarray, (samples.x, samples.features, samples.y)))),
        model=model,
        algorithm=algorithm,
        loss=loss,
        descent=local.Descent(optimizer),
        sampler=local.Sampler(
            federation.batch_size, federation.sampling, federation.augment_scale, federation.augment_noise
        ),
        aggregator=aggregator,
        channel=adversary.channel(config.adversary),
        root=root,
        lr=learning_rates(config.optimizer, federation.rounds),
    )


def initial_params(setting: Setting) -> models.Params:
    """The network's first parameters, from the run's root key."""
    return setting.plan.replicate(setting.model.init(derive(setting.root, Purpose.MODEL)))


def _check_personal(config: "Config", algorithm: local.LocalAlgorithm) -> None:
    """Can what is asked of personalisation come out of this method?"""
    name, method = config.federation.algorithm, config.personalise.method
    shares = isinstance(config.federation, SharedOptions)
    if shares and not algorithm.has_global and method == "none":
        other = "'own' or 'finetune'" if algorithm.own else "'finetune'"
        raise BoflError(
            f"federation.algorithm = '{name}' ends in no model that is a classifier by itself: "
            f"set personalise.method = {other}"
        )
    if isinstance(config.personalise, OwnOptions) and not (shares and algorithm.own):
        raise BoflError(
            f"federation.algorithm = '{name}' has no models of the clients' own: set personalise.method = 'finetune'"
        )


def _pooled(population: Population) -> Rows:
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
