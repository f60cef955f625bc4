"""Governed balancing with synthetic samples."""

from bofl_jax.balancing.workflow import with_synthetic_samples

__all__ = ["with_synthetic_samples"]
