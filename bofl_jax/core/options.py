"""Base of the options of every room: frozen, complete, and closed to unknown keys."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A section of the configuration. Unknown keys are errors, and values are checked when the section is built.

    Attributes:
        traced_fields: keys whose numbers are arguments of the compiled programs, so that runs that differ in them share
            programs.
        uncompiled_fields: keys that do not affect compilation at all.
        exclusive_fields: groups of keys that rule each other out; overriding a key of one group drops the others.
    """

    traced_fields: ClassVar[tuple[str, ...]] = ()
    uncompiled_fields: ClassVar[tuple[str, ...]] = ()
    exclusive_fields: ClassVar[tuple[frozenset[str], ...]] = ()

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def check_sections(self, config: Any) -> None:
        """Check what this section needs of the others; nothing, unless a section overrides it.

        Args:
            config: the whole configuration, a `bofl_jax.config.Config`, which stands above this room.

        Raises:
            ValueError: if the sections do not go together; one line says how to fix it.
        """
