"""What one client does in a round."""

from bofl_jax.algorithms.apfl import apfl
from bofl_jax.algorithms.base import (
    Batch,
    LocalAlgorithm,
    LocalData,
    Loss,
    OptimizerLoop,
    TrainInfo,
    model_delta,
    stateless,
)
from bofl_jax.algorithms.bfln import bfln
from bofl_jax.algorithms.client_data import ClientTask, local_data
from bofl_jax.algorithms.ditto import ditto
from bofl_jax.algorithms.fedavg import fedavg, local_only
from bofl_jax.algorithms.fednova import fednova
from bofl_jax.algorithms.fedprox import fedprox
from bofl_jax.algorithms.loss import class_weights, cross_entropy
from bofl_jax.algorithms.partial import fedrep, own_layers
from bofl_jax.algorithms.perfedavg import perfedavg
from bofl_jax.algorithms.pfedme import pfedme
from bofl_jax.algorithms.sampling import Sampler, take
from bofl_jax.algorithms.scaffold import scaffold

__all__ = [
    "Batch",
    "ClientTask",
    "LocalAlgorithm",
    "LocalData",
    "Loss",
    "OptimizerLoop",
    "Sampler",
    "TrainInfo",
    "apfl",
    "bfln",
    "class_weights",
    "cross_entropy",
    "ditto",
    "fedavg",
    "fednova",
    "fedprox",
    "fedrep",
    "local_data",
    "local_only",
    "model_delta",
    "own_layers",
    "perfedavg",
    "pfedme",
    "scaffold",
    "stateless",
    "take",
]
