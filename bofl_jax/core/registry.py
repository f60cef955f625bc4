"""Registries: the named alternatives that one section of the configuration chooses from."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Generic, Protocol, TypeVar, Union, get_args

from pydantic import Field

from bofl_jax.core.errors import BoflError
from bofl_jax.core.options import Options


class HasOptions(Protocol):
    """An entry of a registry: a record with the class of its options."""

    @property
    def options(self) -> type[Options]:
        """The options, one field of which is a ``Literal`` with the entry's name."""
        ...


Entry = TypeVar("Entry", bound=HasOptions)


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The alternatives of one section of the configuration, by name.

    An entry's name is the literal of its options' field ``key``: an algorithm whose options have the field
    ``algorithm: Literal["mine"]`` is chosen by ``federation.algorithm = "mine"``.

    Args:
        section: section of the configuration, for example ``federation``.
        key: the key of the section that names the alternative, for example ``algorithm``.
        kind: class of the entries.
        base: class that the options of every entry derive from.
        none: options for "no alternative at all", where the section may be switched off.
    """

    def __init__(
        self, section: str, key: str, kind: type[Entry], base: type[Options], none: type[Options] | None = None
    ) -> None:
        self.section, self.key, self.kind, self.base, self.none = section, key, kind, base, none
        self._entries: dict[str, Entry] = {}

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def register(self, entry: Entry) -> Entry:
        """Add an alternative.

        Args:
            entry: a record of this registry's kind.

        Returns:
            The entry, so that a module can keep it under a name.

        Raises:
            BoflError: if the name is taken, or the options do not give one.
        """
        options = entry.options
        name = name_of(options, self.key)
        if name is None or not issubclass(options, self.base):
            raise BoflError(
                f"{options.__name__} does not name an entry of [{self.section}]: derive it from {self.base.__name__} "
                f'and give it a field such as  {self.key}: Literal["mine"]'
            )
        if name in self._entries:
            raise BoflError(f"{self.section}.{self.key} = '{name}' is registered already: choose another name")
        self._entries[name] = entry
        return entry

    def section_type(self) -> Any:
        """The type of the section: the union of all registered options, told apart by ``key``."""
        known = tuple(entry.options for entry in self.values())
        kinds = (self.none, *known) if self.none else known
        return Annotated[Union[kinds], Field(discriminator=self.key)] if len(kinds) > 1 else kinds[0]  # noqa: UP007


def name_of(options: type[Options], key: str) -> str | None:
    """The one literal of the field ``key``; None if the options have no such field or several literals."""
    field = options.model_fields.get(key)
    names = get_args(field.annotation) if field else ()
    return names[0] if len(names) == 1 and isinstance(names[0], str) else None
