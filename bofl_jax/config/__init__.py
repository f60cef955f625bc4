"""The configuration of a run: schema, reading, overriding, and messages for wrong keys.

Names are imported at their first use, because the schema imports JAX and the presets do not.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bofl_jax.config.extensions import import_files
    from bofl_jax.config.load import load_config
    from bofl_jax.config.messages import known_keys
    from bofl_jax.config.schema import Config, register
    from bofl_jax.config.sources import parse_assignment, presets, read_table

__all__ = [
    "Config",
    "import_files",
    "known_keys",
    "load_config",
    "parse_assignment",
    "presets",
    "read_table",
    "register",
]
_MODULES = {
    "Config": "bofl_jax.config.schema",
    "import_files": "bofl_jax.config.extensions",
    "known_keys": "bofl_jax.config.messages",
    "load_config": "bofl_jax.config.load",
    "parse_assignment": "bofl_jax.config.sources",
    "presets": "bofl_jax.config.sources",
    "read_table": "bofl_jax.config.sources",
    "register": "bofl_jax.config.schema",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
