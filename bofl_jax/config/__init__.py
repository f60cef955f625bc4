"""The configuration of a run: schema, reading, overriding, and messages for wrong keys.

Names are imported at their first use, because the schema imports JAX and the presets do not.
"""

from typing import TYPE_CHECKING

from bofl_jax.core.lazy import lazy_names

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


__getattr__ = lazy_names(__name__, _MODULES)


def __dir__() -> list[str]:
    return __all__
