"""Base of every room's options: frozen, complete, and closed to keys that nobody reads."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A section of the configuration. Unknown keys are errors, values are checked when it is built."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
