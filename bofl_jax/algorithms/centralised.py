"""Centralised training: all training samples in one place, nothing is federated. A baseline."""

from typing import Literal

from bofl_jax.algorithms.local import local_only
from bofl_jax.algorithms.options import UnsharedOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class CentralisedOptions(UnsharedOptions):
    """All training samples in one place; nothing is federated."""

    algorithm: Literal["centralised"]


ALGORITHMS.register(Algorithm(CentralisedOptions, lambda _, context: local_only(context.loss, context.optimizer)))
