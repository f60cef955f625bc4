"""How the server combines updates."""

from bofl_jax.aggregate.base import Aggregator, mean

__all__ = ["Aggregator", "mean"]
