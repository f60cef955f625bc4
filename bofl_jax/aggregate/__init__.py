"""How the server combines updates: reductions over the clients, and server optimisers."""

from bofl_jax.aggregate.base import (
    MEAN,
    Aggregator,
    AggregatorState,
    ReducedUpdate,
    Reduction,
    ReductionInfo,
    ServerOptimizer,
    StackedUpdates,
    stateless,
)
from bofl_jax.aggregate.cluster_means import cluster_means
from bofl_jax.aggregate.optimizers import adagrad, adam, add_scaled, momentum, replace, sgd, yogi

__all__ = [
    "MEAN",
    "Aggregator",
    "AggregatorState",
    "ReducedUpdate",
    "Reduction",
    "ReductionInfo",
    "ServerOptimizer",
    "StackedUpdates",
    "adagrad",
    "adam",
    "add_scaled",
    "cluster_means",
    "momentum",
    "replace",
    "sgd",
    "stateless",
    "yogi",
]
