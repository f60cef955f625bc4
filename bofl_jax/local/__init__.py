"""What one client does in a round."""

from bofl_jax.local.base import Batch, LocalAlgorithm, Loss, descend
from bofl_jax.local.batches import Sampler, take
from bofl_jax.local.loss import class_weights, cross_entropy
from bofl_jax.local.perfedavg import perfedavg
from bofl_jax.local.prox import prox
from bofl_jax.local.sgd import sgd
from bofl_jax.local.work import Work, WorkInfo, train

__all__ = [
    "Batch",
    "LocalAlgorithm",
    "Loss",
    "Sampler",
    "Work",
    "WorkInfo",
    "class_weights",
    "cross_entropy",
    "descend",
    "perfedavg",
    "prox",
    "sgd",
    "take",
    "train",
]
