"""The federated methods by name: a local algorithm and an aggregator each, built from a run's options."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from bofl_jax import aggregate, algorithms, models
from bofl_jax.algorithms import options as kinds
from bofl_jax.algorithms.options import OptimizerOptions, TrainingOptions
from bofl_jax.core.errors import BoflError


class Given(NamedTuple):
    """What a method is built from.

    Attributes:
        loss: parameters, batch -> float32, with class weights.
        optimizer: the clients', for a learning rate of 1.
        model: the network.
        classes: K.
        clients: C.
        server_lr: the server's rate.
    """

    loss: algorithms.Loss
    optimizer: optax.GradientTransformation
    model: models.Model
    classes: int
    clients: int
    server_lr: float


class Method(NamedTuple):
    """A federated method.

    Attributes:
        options: its section of the configuration; a `SharedOptions`, whose ``algorithm`` is its name.
        local: options, `Given` -> the clients' part.
        server: options, `Given` -> the server's part; None: the one that ``optimizer.server`` names.
    """

    options: type[TrainingOptions]
    local: Callable[[Any, Given], algorithms.LocalAlgorithm]
    server: Callable[[Any, Given], aggregate.Aggregator] | None = None


def _head(options: kinds.FedRepOptions | kinds.FedPerOptions, given: Given) -> frozenset[str]:
    return frozenset(options.own_layers) or given.model.head


def _norms(given: Given) -> frozenset[str]:
    if not given.model.norms:
        raise BoflError("federation.algorithm = 'fedbn' needs layers that normalise: set model.norm = 'group'")
    return given.model.norms


def _clusters(options: kinds.BflnOptions, given: Given) -> int:
    if options.clusters > given.clients:
        raise BoflError(f"federation.clusters = {options.clusters}, but there are {given.clients} clients: lower it")
    return options.clusters


METHODS: dict[str, Method] = {
    "fedavg": Method(kinds.FedAvgOptions, lambda _, g: algorithms.fedavg(g.loss, g.optimizer)),
    "fedprox": Method(kinds.FedProxOptions, lambda o, g: algorithms.fedprox(g.loss, g.optimizer, o.mu)),
    "fednova": Method(
        kinds.FedNovaOptions,
        lambda _, g: algorithms.fednova(g.loss, g.optimizer),
        lambda _, g: aggregate.nova(g.server_lr),
    ),
    "scaffold": Method(
        kinds.ScaffoldOptions,
        lambda _, g: algorithms.scaffold(g.loss, g.optimizer),
        lambda _, g: aggregate.scaffold(g.server_lr),
    ),
    "perfedavg": Method(
        kinds.PerFedAvgOptions, lambda o, g: algorithms.perfedavg(g.loss, g.optimizer, o.inner_lr, o.meta_gradient)
    ),
    "ditto": Method(
        kinds.DittoOptions,
        lambda o, g: algorithms.ditto(g.loss, g.optimizer, o.strength, o.personal_lr, o.personal_steps),
    ),
    "pfedme": Method(
        kinds.PFedMeOptions, lambda o, g: algorithms.pfedme(g.loss, o.strength, o.personal_lr, o.inner_steps, o.decay)
    ),
    "apfl": Method(kinds.ApflOptions, lambda o, g: algorithms.apfl(g.loss, g.optimizer, o.mixing, o.adaptive)),
    "fedrep": Method(
        kinds.FedRepOptions, lambda o, g: algorithms.fedrep(g.loss, g.optimizer, _head(o, g), o.head_steps)
    ),
    "fedper": Method(kinds.FedPerOptions, lambda o, g: algorithms.own_layers(g.loss, g.optimizer, _head(o, g))),
    "fedbn": Method(kinds.FedBnOptions, lambda _, g: algorithms.own_layers(g.loss, g.optimizer, _norms(g))),
    "bfln": Method(
        kinds.BflnOptions,
        lambda o, g: algorithms.bfln(
            g.loss,
            g.optimizer,
            lambda params, batch: g.model.embed(params, batch.x, batch.features),
            g.classes,
            g.clients,
            _clusters(o, g),
            o.prototype_steps,
        ),
        lambda o, g: aggregate.clustered(o.clusters, g.clients, g.classes, g.model.width),
    ),
    "local": Method(kinds.LocalOptions, lambda _, g: algorithms.local_only(g.loss, g.optimizer)),
    "centralised": Method(kinds.CentralisedOptions, lambda _, g: algorithms.local_only(g.loss, g.optimizer)),
}


def build(
    name: str, options: TrainingOptions, optimizer: OptimizerOptions, given: Given
) -> tuple[algorithms.LocalAlgorithm, aggregate.Aggregator]:
    """The two parts of the method that ``federation.algorithm`` names.

    Raises:
        BoflError: if it cannot work with this network or these clients.
    """
    method = METHODS[name]
    server = method.server(options, given) if method.server else build_server(optimizer)
    return method.local(options, given), server


def build_server(options: OptimizerOptions) -> aggregate.Aggregator:
    """The aggregator that ``optimizer.server`` names."""
    lr, beta2 = options.server_lr, _or(options.server_beta2, 0.99)
    beta1, tau = _or(options.server_beta1, 0.9), _or(options.server_tau, 1e-3)
    match options.server:
        case "sgd":
            return aggregate.mean(lr)
        case "momentum":
            return aggregate.momentum(lr, _or(options.server_momentum, 0.9))
        case "adagrad":
            return aggregate.adagrad(lr, _or(options.server_beta1, 0.0), tau)
        case "adam":
            return aggregate.adam(lr, beta1, beta2, tau)
        case "yogi":
            return aggregate.yogi(lr, beta1, beta2, tau)


def build_optimizer(options: OptimizerOptions) -> optax.GradientTransformation:
    """The clients' optimiser, for a learning rate of 1."""
    if options.client == "adamw":
        return optax.adamw(1.0, weight_decay=options.weight_decay)
    return optax.sgd(1.0, momentum=options.momentum or None)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
