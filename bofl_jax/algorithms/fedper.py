"""FedPer: the last layers stay with each client; all layers train together.

Arivazhagan, Aggarwal, Singh and Choudhary, Federated learning with personalization layers, arXiv 1912.00818, 2019.
"""

from typing import Literal

from pydantic import Field

from bofl_jax.algorithms.options import FederatedOptions
from bofl_jax.algorithms.partial import train_together
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm


class FedPerOptions(FederatedOptions):
    """FedPer."""

    algorithm: Literal["fedper"]
    own_layers: tuple[str, ...] = Field((), description="layers that stay with the client; the last when left out")


ALGORITHMS.register(
    Algorithm(
        FedPerOptions,
        lambda options, context: train_together(
            context.loss, context.optimizer, frozenset(options.own_layers) or context.model.head_layers
        ),
    )
)
