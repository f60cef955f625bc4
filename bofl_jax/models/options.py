"""Options of the networks: one class a network, told apart by ``name``."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options

Size = Annotated[int, Field(ge=1, le=4096)]


class Cnn1dOptions(Options):
    """``cnn1d``: a stack of 1-D convolutions, RR features joined before the dense head.

    The defaults are the network of the clinical baselines (30 180 parameters on 128 samples, 7 features, 4 classes).
    """

    name: Literal["cnn1d"] = "cnn1d"
    channels: tuple[Size, ...] = Field((16, 32, 64), description="output channels of each convolution")
    kernels: tuple[Size, ...] = Field((7, 5, 5), description="taps of each convolution")
    strides: tuple[Size, ...] = Field((2, 2, 2), description="stride of each convolution")
    input_stride: int = Field(1, ge=1, le=16, description="keep every n-th input sample")
    pool: bool = Field(False, description="max-pool by 2 after each convolution")
    head: Literal["segments", "flatten"] = Field("segments", description="how time is summarised before the head")
    segments: int = Field(2, ge=1, le=64, description="stretches of time for head = 'segments'")
    hidden: Size = Field(64, description="units of the dense layer")
    norm: Literal["none", "group"] = Field("none", description="GroupNorm after each convolution")
    groups: int = Field(4, ge=1, le=256, description="groups of norm = 'group'")

    @model_validator(mode="after")
    def _same_depth(self) -> "Cnn1dOptions":
        if not self.channels or not len(self.channels) == len(self.kernels) == len(self.strides):
            raise ValueError("channels, kernels and strides must list the same number of layers, at least one")
        if self.norm == "group" and any(width % self.groups for width in self.channels):
            raise ValueError(f"groups = {self.groups} must divide every entry of channels {list(self.channels)}")
        return self


class LstmOptions(Options):
    """``lstm``: one LSTM over frames of the window, RR features joined before the dense head."""

    name: Literal["lstm"] = "lstm"
    frame: int = Field(8, ge=1, le=256, description="time samples fed to the LSTM in one step")
    units: Size = Field(32, description="hidden units of the LSTM")
    hidden: Size = Field(32, description="units of the dense layer")


class MlpOptions(Options):
    """``mlp``: dense layers over all inputs side by side."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Size, ...] = Field((64,), min_length=1, description="units of each hidden layer")


class LinearOptions(Options):
    """``linear``: softmax regression on all inputs side by side."""

    name: Literal["linear"] = "linear"


ModelOptions = Annotated[Cnn1dOptions | LstmOptions | MlpOptions | LinearOptions, Field(discriminator="name")]
