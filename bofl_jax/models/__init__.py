"""Networks for one batch of one client."""

from bofl_jax.models.base import MODELS, Model, Params, build, parameters
from bofl_jax.models.options import Cnn1dOptions, LinearOptions, LstmOptions, MlpOptions, ModelOptions

__all__ = [
    "MODELS",
    "Cnn1dOptions",
    "LinearOptions",
    "LstmOptions",
    "MlpOptions",
    "Model",
    "ModelOptions",
    "Params",
    "build",
    "parameters",
]
