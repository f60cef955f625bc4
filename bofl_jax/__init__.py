"""Blockchain-orchestrated, personalised federated learning on non-IID clinical data, in JAX.

The main job in three lines::

    import bofl_jax as bofl
    config = bofl.load_config("quickstart", {"federation.rounds": 10})
    run = bofl.run(config, out="runs/mine")     # run.summary, run.params, run.personal_params

Names are imported at their first use, so that a command that needs no JAX does not wait for it.
"""

from typing import TYPE_CHECKING

from bofl_jax.core.lazy import lazy_names

if TYPE_CHECKING:
    from bofl_jax.algorithms import Algorithm, FederatedOptions
    from bofl_jax.config import Config, load_config, presets, register
    from bofl_jax.core.errors import BoflError, VerificationError
    from bofl_jax.core.types import Samples
    from bofl_jax.runs import Run, run
    from bofl_jax.runs.audit import audit

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
_MODULES = {
    "Algorithm": "bofl_jax.algorithms",
    "BoflError": "bofl_jax.core.errors",
    "Config": "bofl_jax.config",
    "FederatedOptions": "bofl_jax.algorithms",
    "Run": "bofl_jax.runs",
    "Samples": "bofl_jax.core.types",
    "VerificationError": "bofl_jax.core.errors",
    "audit": "bofl_jax.runs.audit",
    "load_config": "bofl_jax.config",
    "presets": "bofl_jax.config",
    "register": "bofl_jax.config",
    "run": "bofl_jax.runs",
}


__getattr__ = lazy_names(__name__, _MODULES)


def __dir__() -> list[str]:
    return __all__
