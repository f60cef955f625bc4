"""FedBN: the normalisation layers stay with each client.

Li, Jiang, Zhang, Kamp and Dou, FedBN: federated learning on non-IID features via local batch normalization, ICLR 2021.
Here the layers normalise within a sample (GroupNorm), because batch statistics do not go with padded clients.
"""

from typing import Literal

from bofl_jax.algorithms.base import LocalAlgorithm
from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.partial import train_together
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm, BuildContext
from bofl_jax.core.errors import BoflError


class FedBnOptions(FederatedOptions):
    """FedBN: the normalisation layers stay with the client."""

    algorithm: Literal["fedbn"]


def _build(_: FedBnOptions, context: BuildContext) -> LocalAlgorithm:
    if not context.model.norm_layers:
        raise BoflError("federation.algorithm = 'fedbn' needs layers that normalise: set model.norm = 'group'")
    return train_together(context.loss, context.optimizer, context.model.norm_layers)


ALGORITHMS.register(Algorithm(FedBnOptions, _build))
