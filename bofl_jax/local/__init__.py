"""What one client does in a round."""

from bofl_jax.local.apfl import apfl
from bofl_jax.local.base import (
    Batch,
    Descent,
    LocalAlgorithm,
    LocalData,
    Loss,
    WorkInfo,
    difference,
    keep_nothing,
)
from bofl_jax.local.batches import Sampler, take
from bofl_jax.local.clustered import clustered
from bofl_jax.local.ditto import ditto
from bofl_jax.local.loss import class_weights, cross_entropy
from bofl_jax.local.nova import nova
from bofl_jax.local.partial import fedrep, own_layers
from bofl_jax.local.perfedavg import perfedavg
from bofl_jax.local.pfedme import pfedme
from bofl_jax.local.prox import prox
from bofl_jax.local.scaffold import scaffold
from bofl_jax.local.sgd import alone, sgd
from bofl_jax.local.work import Work, local_data

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
