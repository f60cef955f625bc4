"""Options of the adversary: the `[adversary]` section of a configuration."""

from typing import Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options


class AdversaryOptions(Options):
    """Who lies, and how; nobody unless something is set.

    Attributes:
        channel: what happens to an update on its way to the server.
        altered: share of a round's updates to which it happens, drawn anew each round.
        strength: factor of ``sign-flip`` and ``scale``; of ``noise`` its sd in units of the update's root mean square.
        uninvited: clients a round that send an update without being invited to it.
        duplicates: updates a round that arrive twice.
    """

    uncompiled_fields = ("altered", "uninvited", "duplicates")
    channel: Literal["none", "sign-flip", "scale", "noise", "bit-flip"] = "none"
    altered: float = Field(0.0, ge=0, le=1)
    strength: float = Field(1.0, gt=0)
    uninvited: int = Field(0, ge=0)
    duplicates: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _belongs(self) -> "AdversaryOptions":
        if (self.channel == "none") != (self.altered == 0):
            raise ValueError("a channel that alters updates needs both adversary.channel and adversary.altered > 0")
        if self.channel in ("none", "bit-flip") and self.strength != 1:
            raise ValueError(f"adversary.channel = '{self.channel}' has no strength: leave adversary.strength out")
        return self
