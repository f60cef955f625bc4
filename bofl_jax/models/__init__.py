"""Network architectures for one batch of one client, one file an architecture."""

from typing import TYPE_CHECKING

# The order of these imports is the order of the architectures in messages and in the key reference.
from bofl_jax.models.cnn1d import Cnn1dOptions  # isort: skip
from bofl_jax.models.lstm import LstmOptions  # isort: skip
from bofl_jax.models.mlp import MlpOptions  # isort: skip
from bofl_jax.models.linear import LinearOptions  # isort: skip
from bofl_jax.models.registry import (
    MODELS,
    Architecture,
    ArchitectureOptions,
    Model,
    Params,
    build,
    parameter_count,
)

if TYPE_CHECKING:
    ModelOptions = ArchitectureOptions
else:
    ModelOptions = MODELS.section_type()
"""The ``[model]`` section of a configuration."""

__all__ = [
    "MODELS",
    "Architecture",
    "ArchitectureOptions",
    "Cnn1dOptions",
    "LinearOptions",
    "LstmOptions",
    "MlpOptions",
    "Model",
    "ModelOptions",
    "Params",
    "build",
    "parameter_count",
]
