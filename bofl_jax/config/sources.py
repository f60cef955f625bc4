"""Where a configuration comes from: presets, TOML files and assignments. Nothing here needs the schema, or JAX."""

import difflib
import re
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from bofl_jax.core.errors import BoflError


def presets() -> list[str]:
    """Names of the configurations that come with the package."""
    names = (entry.name for entry in _preset_folder().iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _preset_folder() -> Traversable:
    """The folder of the presets. It is no package: that would take the place of the function ``bofl_jax.presets``."""
    return resources.files("bofl_jax") / "presets"


def read_table(source: str | Path) -> dict[str, Any]:
    """Read the nested table of a preset or a TOML file.

    Args:
        source: the name of a preset, or a path.

    Raises:
        BoflError: if there is no such preset or file, or it cannot be read.
    """
    path = Path(source)
    if str(source) in presets():
        text = (_preset_folder() / f"{source}.toml").read_text(encoding="utf-8")
    elif path.is_file():
        text = _read_text(path)
    else:
        near = difflib.get_close_matches(str(source), presets(), 1)
        hint = f"did you mean {near[0]}?" if near else f"presets are {', '.join(presets())}; or name a TOML file"
        raise BoflError(f"there is no preset and no file called {source}: {hint}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BoflError(f"{source} is not valid TOML: {error}") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BoflError(f"{path} cannot be read ({error}): name a TOML file") from None


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse one ``KEY=VALUE`` of the command line; the value is TOML, or else plain text.

    Raises:
        BoflError: if it is not of this form.

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
