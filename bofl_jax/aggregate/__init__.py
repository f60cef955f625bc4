"""How the server combines updates."""

from bofl_jax.aggregate.base import Aggregator, Gathered, Mean
from bofl_jax.aggregate.clustered import clustered
from bofl_jax.aggregate.mean import mean, nova, scaffold
from bofl_jax.aggregate.optimizers import adagrad, adam, momentum, yogi

__all__ = [
    "Aggregator",
    "Gathered",
    "Mean",
    "adagrad",
    "adam",
    "clustered",
    "mean",
    "momentum",
    "nova",
    "scaffold",
    "yogi",
]
