"""Blockchain-orchestrated, personalised federated learning on non-IID clinical data, in JAX.

The main job in three lines::

    import bofl_jax as bofl
    config = bofl.load_config("quickstart", {"federation.rounds": 10})
    run = bofl.run(config, out="runs/mine")     # run.summary, run.params, run.personal_params

Names are imported at their first use, so that a command that needs no JAX does not wait for it.
"""

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
