"""Reads a configuration from a preset, a TOML file or a table, and overrides single keys."""

import copy
import difflib
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bofl_jax.config.messages import explain
from bofl_jax.config.schema import DISCRIMINATORS, Config, exclusive_fields, kind_name, section_kinds
from bofl_jax.core.errors import BoflError


def presets() -> list[str]:
    """Names of the configurations that come with the package."""
    names = (entry.name for entry in _shipped().iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _shipped() -> Traversable:
    """The folder of the presets; imported as a package it would take the place of the function ``bofl_jax.presets``."""
    return resources.files("bofl_jax") / "presets"


def load_config(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration and override single keys.

    Args:
        source: a preset's name, a TOML file, or the nested table itself.
        overrides: dotted key -> value, for example ``{"federation.rounds": 50}``.

    Raises:
        BoflError: for an unknown preset, key or value, in one line that says how to mend it.

    >>> load_config("quickstart", {"federation.rounds": 3}).federation.rounds
    3
    >>> load_config("quickstart", {"federation.round": 3})
    Traceback (most recent call last):
    ...
    bofl_jax.core.errors.BoflError: unknown key federation.round: did you mean federation.rounds?
    """
    table = copy.deepcopy(dict(source)) if isinstance(source, Mapping) else _read(source)
    for key, value in (overrides or {}).items():
        _override(table, key, value, set(overrides or {}))
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        raise BoflError(explain(error)) from None


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse one ``KEY=VALUE`` of the command line; the value is TOML, or a bare string.

    >>> parse_assignment("federation.rounds=50"), parse_assignment("data.source=npz")
    (('federation.rounds', 50), ('data.source', 'npz'))
    """
    key, sign, value = text.partition("=")
    if not sign or not re.fullmatch(r"[A-Za-z0-9_.]+", key):
        raise BoflError(f"--set {text}: write it as KEY=VALUE, for example federation.rounds=50")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key, value
    return key, parsed["value"] if len(parsed) == 1 else value


def _read(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    if str(source) in presets():
        text = (_shipped() / f"{source}.toml").read_text()
    elif path.is_file():
        text = _text(path)
    else:
        near = difflib.get_close_matches(str(source), presets(), 1)
        hint = f"did you mean {near[0]}?" if near else f"presets are {', '.join(presets())}; or name a TOML file"
        raise BoflError(f"there is no preset and no file called {source}: {hint}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BoflError(f"{source} is not valid TOML: {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BoflError(f"{path} cannot be read ({error}): name a TOML file") from None


def _override(table: dict[str, Any], key: str, value: Any, given: set[str]) -> None:
    """Set one dotted key, and drop what it replaces.

    A section that changes its kind drops the keys that the new kind does not have; a key that rules others out drops
    those. What is overridden as well stays, to be refused if it does not fit.
    """
    *path, last = key.split(".")
    section = table
    for part in path:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise BoflError(f"unknown key {key}: {part} is a value, not a section")
    section[last] = value
    if len(path) == 1 and DISCRIMINATORS.get(path[0]) == last:
        kind = next((k for k in section_kinds(path[0]) if kind_name(k, last) == value), None)
        replaced = {name for name in section if kind and name not in kind.model_fields}
    elif len(path) == 1 and value is not None:
        groups = exclusive_fields(path[0])
        own = [group for group in groups if last in group]
        replaced = set().union(*groups).difference(*own) if own else set()
    else:
        return
    for name in replaced & section.keys():
        if f"{path[0]}.{name}" not in given:
            del section[name]
