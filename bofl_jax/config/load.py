"""Builds a configuration from a preset, a TOML file or a table, with single keys overridden."""

import copy
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bofl_jax.config.messages import explain
from bofl_jax.config.schema import DISCRIMINATORS, Config, exclusive_fields, kind_name, section_kinds
from bofl_jax.config.sources import read_table
from bofl_jax.core.errors import BoflError


def load_config(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Config:
    """Build a configuration, with single keys overridden.

    Args:
        source: the name of a preset, a TOML file, or the nested table itself.
        overrides: dotted key -> value, for example ``{"federation.rounds": 50}``.

    Raises:
        BoflError: for an unknown preset, key or value, in one line that says how to correct it.

    >>> load_config("quickstart", {"federation.rounds": 3}).federation.rounds
    3
    >>> load_config("quickstart", {"federation.round": 3})
    Traceback (most recent call last):
    ...
    bofl_jax.core.errors.BoflError: unknown key federation.round: did you mean federation.rounds?
    """
    table = copy.deepcopy(dict(source)) if isinstance(source, Mapping) else read_table(source)
    for key, value in (overrides or {}).items():
        _override(table, key, value, overrides or {})
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        raise BoflError(explain(error)) from None


def _override(table: dict[str, Any], key: str, value: Any, overrides: Collection[str]) -> None:
    """Set one dotted key, and drop the keys of the table that it replaces.

    A section that changes its alternative drops the keys that the new alternative does not have. A key that excludes
    others drops those. Keys that are overridden too are kept; if they do not fit, the schema refuses them.
    """
    *path, last = key.split(".")
    section = table
    for part in path:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise BoflError(f"unknown key {key}: {part} is a value, not a section")
    section[last] = value
    if len(path) != 1:
        return
    for name in _replaced_by(path[0], last, value, section) & section.keys():
        if f"{path[0]}.{name}" not in overrides:
            del section[name]


def _replaced_by(section: str, key: str, value: Any, table: Mapping[str, Any]) -> set[str]:
    """The keys of a section that go when ``key`` becomes ``value``."""
    if DISCRIMINATORS.get(section) == key:
        kind = next((kind for kind in section_kinds(section) if kind_name(kind, key) == value), None)
        return {name for name in table if kind and name not in kind.model_fields}
    if value is None:
        return set()
    groups = exclusive_fields(section)
    own = [group for group in groups if key in group]
    return set().union(*groups).difference(*own) if own else set()
