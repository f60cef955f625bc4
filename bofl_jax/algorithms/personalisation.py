"""Options of personalisation: how each client comes to a model of its own after training."""

from typing import Annotated, Literal

from pydantic import Field

from bofl_jax.core.options import Options


class NoPersonaliseOptions(Options):
    """No personalisation."""

    method: Literal["none"] = "none"


class FineTuneOptions(Options):
    """Every client goes on from its own model, or else the shared one, with plain local steps on its own samples."""

    uncompiled_fields = ("steps", "lr")
    method: Literal["finetune"]
    steps: int = Field(30, ge=1, description="local steps")
    lr: float = Field(0.03, gt=0, description="learning rate")


class OwnOptions(Options):
    """The models of the clients' own that the method ends in."""

    uncompiled_fields = ("lr",)
    method: Literal["own"]
    steps: int = Field(0, ge=0, description="local steps of the method that every client does first, alone")
    lr: float = Field(0.03, gt=0, description="the round's rate in them; a personal_lr of the method stays")


PersonaliseOptions = Annotated[NoPersonaliseOptions | OwnOptions | FineTuneOptions, Field(discriminator="method")]
