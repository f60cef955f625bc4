"""Base of every room's options: frozen, complete, and closed to keys that nobody reads."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A section of the configuration. Unknown keys are errors, values are checked when it is built.

    Attributes:
        arguments: keys whose numbers compiled programs take as arguments.
        outside: keys that no compiled program knows of. Runs that differ in these two alone share their programs.
    """

    traced_fields: ClassVar[tuple[str, ...]] = ()
    uncompiled_fields: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
