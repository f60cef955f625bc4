"""The registry of federated algorithms: one file an algorithm, with its options, its parts and its registration."""

from typing import Any, NamedTuple, Protocol

import optax

from bofl_jax import aggregate, models
from bofl_jax.algorithms.base import LocalAlgorithm, Loss
from bofl_jax.algorithms.optimizers import OptimizerOptions, build_server_optimizer
from bofl_jax.algorithms.options import TrainingOptions
from bofl_jax.core.registry import Registry


class BuildContext(NamedTuple):
    """What an algorithm is built from, besides its options.

    Attributes:
        loss: the loss of one batch, with class weights.
        optimizer: the clients' optimiser, for a learning rate of 1.
        model: the network.
        classes: K.
        clients: C.
        server_lr: learning rate of the server.
    """

    loss: Loss
    optimizer: optax.GradientTransformation
    model: models.Model
    classes: int
    clients: int
    server_lr: float


class BuildClient(Protocol):
    """Call signature of ``Algorithm.client``."""

    def __call__(self, options: Any, context: BuildContext, /) -> LocalAlgorithm:
        """Build the client's part.

        Args:
            options: an instance of the algorithm's options; fields in ``traced_fields`` may be traced arrays.
            context: what else it is built from.

        Raises:
            BoflError: if the algorithm cannot work with this network or these clients.
        """
        ...


class BuildReduction(Protocol):
    """Call signature of ``Algorithm.reduction``."""

    def __call__(self, options: Any, context: BuildContext, /) -> aggregate.Reduction:
        """Build the reduction over the clients' updates."""
        ...


class BuildServer(Protocol):
    """Call signature of ``Algorithm.server``."""

    def __call__(self, options: Any, context: BuildContext, /) -> aggregate.ServerOptimizer:
        """Build the server optimiser."""
        ...


class Algorithm(NamedTuple):
    """A federated algorithm.

    Attributes:
        options: its options, usually derived from `FederatedOptions`; the literal ``algorithm`` is its name.
        client: builds the client's part.
        reduction: builds the reduction over the updates; None for the weighted mean.
        server: builds the server optimiser; None for the one that ``optimizer.server`` names. With a server of its
            own, the options say ``own_server = True``.
    """

    options: type[TrainingOptions]
    client: BuildClient
    reduction: BuildReduction | None = None
    server: BuildServer | None = None


ALGORITHMS: Registry[Algorithm] = Registry("federation", "algorithm", Algorithm, TrainingOptions)
"""The algorithms by the value of ``federation.algorithm``."""


def build(
    options: TrainingOptions, optimizer: OptimizerOptions, context: BuildContext
) -> tuple[LocalAlgorithm, aggregate.Aggregator]:
    """Build the client's and the server's part of the algorithm that ``federation.algorithm`` names.

    Args:
        options: the section ``[federation]``.
        optimizer: the section ``[optimizer]``.
        context: what else they are built from.

    Raises:
        BoflError: if the algorithm cannot work with this network or these clients.
    """
    algorithm = ALGORITHMS[options.name]
    server = algorithm.server(options, context) if algorithm.server else build_server_optimizer(optimizer)
    reduction = algorithm.reduction(options, context) if algorithm.reduction else aggregate.MEAN
    return algorithm.client(options, context), aggregate.Aggregator(server, reduction)
