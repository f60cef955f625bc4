"""Options of the adversary: the section ``[adversary]`` of a configuration."""

from typing import Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options


class AdversaryOptions(Options):
    """A channel that alters updates in transit, uninvited senders and duplicate updates; by default there are none."""

    uncompiled_fields = ("altered", "uninvited", "duplicates")
    channel: Literal["none", "sign-flip", "scale", "noise", "bit-flip"] = Field(
        "none", description="how an update is altered on its way to the server"
    )
    altered: float = Field(0.0, ge=0, le=1, description="share of a round's updates that are altered, drawn each round")
    strength: float = Field(
        1.0,
        gt=0,
        description="factor of sign-flip and scale; noise: standard deviation by the update's root mean square",
    )
    uninvited: int = Field(0, ge=0, description="clients that send an update without an invitation, in each round")
    duplicates: int = Field(0, ge=0, description="updates that arrive twice, in each round")

    @model_validator(mode="after")
    def _belongs(self) -> "AdversaryOptions":
        if (self.channel == "none") != (self.altered == 0):
            raise ValueError("a channel that alters updates needs both adversary.channel and adversary.altered > 0")
        if self.channel in ("none", "bit-flip") and self.strength != 1:
            raise ValueError(f"adversary.channel = '{self.channel}' has no strength: leave adversary.strength out")
        return self
