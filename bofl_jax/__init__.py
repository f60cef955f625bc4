"""Blockchain-orchestrated, personalised federated learning on non-IID clinical data, in JAX.

The main job in three lines::

    import bofl_jax as bofl
    config = bofl.load_config("quickstart", {"federation.rounds": 10})
    run = bofl.run(config, out="runs/mine")     # api.summary, api.params, api.personal_params
"""

from bofl_jax.algorithms import Algorithm, FederatedOptions
from bofl_jax.config import Config, load_config, presets, register
from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.core.types import Samples
from bofl_jax.runs import Run, audit, run

__all__ = [
    "Algorithm",
    "BoflError",
    "Config",
    "FederatedOptions",
    "Run",
    "Samples",
    "VerificationError",
    "audit",
    "load_config",
    "presets",
    "register",
    "run",
]
