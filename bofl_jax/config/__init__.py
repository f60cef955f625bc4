"""The configuration of a run: schema, reading, overriding, and messages for wrong keys."""

from bofl_jax.config.load import load_config, parse_assignment, presets
from bofl_jax.config.messages import known_keys
from bofl_jax.config.schema import Config, register

__all__ = ["Config", "known_keys", "load_config", "parse_assignment", "presets", "register"]
