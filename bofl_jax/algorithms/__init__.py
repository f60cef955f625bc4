"""What one client does in a round."""

from bofl_jax.algorithms.apfl import apfl
from bofl_jax.algorithms.base import (
    Batch,
    Descent,
    LocalAlgorithm,
    LocalData,
    Loss,
    WorkInfo,
    difference,
    keep_nothing,
)
from bofl_jax.algorithms.bfln import clustered
from bofl_jax.algorithms.client_data import Work, local_data
from bofl_jax.algorithms.ditto import ditto
from bofl_jax.algorithms.fedavg import alone, sgd
from bofl_jax.algorithms.fednova import nova
from bofl_jax.algorithms.fedprox import prox
from bofl_jax.algorithms.loss import class_weights, cross_entropy
from bofl_jax.algorithms.partial import fedrep, own_layers
from bofl_jax.algorithms.perfedavg import perfedavg
from bofl_jax.algorithms.pfedme import pfedme
from bofl_jax.algorithms.sampling import Sampler, take
from bofl_jax.algorithms.scaffold import scaffold

__all__ = [
    "Batch",
    "Descent",
    "LocalAlgorithm",
    "LocalData",
    "Loss",
    "Sampler",
    "Work",
    "WorkInfo",
    "alone",
    "apfl",
    "class_weights",
    "clustered",
    "cross_entropy",
    "difference",
    "ditto",
    "fedrep",
    "keep_nothing",
    "local_data",
    "nova",
    "own_layers",
    "perfedavg",
    "pfedme",
    "prox",
    "scaffold",
    "sgd",
    "take",
]
