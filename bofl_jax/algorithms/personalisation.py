"""Options of personalisation: how each client comes to a model of its own after training."""

from typing import Annotated, Literal

from pydantic import Field

from bofl_jax.core.options import Options


class NoPersonaliseOptions(Options):
    """No personalisation."""

    method: Literal["none"] = "none"


class FineTuneOptions(Options):
    """Every client trains its personal model, or else the global one, further on its own samples."""

    uncompiled_fields = ("steps", "lr")
    method: Literal["finetune"]
    steps: int = Field(30, ge=1, description="local steps")
    lr: float = Field(0.03, gt=0, description="learning rate")


class OwnOptions(Options):
    """The personal models that the algorithm itself ends in."""

    uncompiled_fields = ("lr",)
    method: Literal["own"]
    steps: int = Field(0, ge=0, description="local steps of the algorithm that every client does first, alone")
    lr: float = Field(
        0.03, gt=0, description="learning rate of these steps; a personal_lr of the algorithm stays as it is"
    )


PersonaliseOptions = Annotated[NoPersonaliseOptions | OwnOptions | FineTuneOptions, Field(discriminator="method")]
