"""``config.toml``: the configuration that a run was begun with. The chain's genesis holds the SHA-256 of its bytes.

Names and types of the keys are those of `bofl_jax.config`. Readers of a run look at a few of them only, so that they
read the configurations of older versions too.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bofl_jax.core.errors import BoflError
from bofl_jax.core.parsing import parse_toml
from bofl_jax.results.reading import read_file
from bofl_jax.results.records import MissingKeyError, check_record, require_keys
from bofl_jax.results.writing import write_text

T = TypeVar("T")

CONFIG_FILE = "config.toml"
SECTIONS = (
    "adversary", "data", "engine", "evaluate", "federation", "ledger", "model", "optimizer", "partition",
    "personalise", "synthesis",
)  # fmt: skip
_FIX = "name a run directory, or restore the file from a copy, which --resume needs too"


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a run, as nested tables."""

    path: Path
    tables: dict[str, Any]  # section -> key -> value
    sha256: bytes  # of the file

    def section(self, name: str) -> dict[str, Any]:
        """A section; empty where the configuration has none of this name."""
        found: dict[str, Any] = self.tables.get(name, {})
        return found

    def require(self, key: str, kind: type[T]) -> T:
        """The value of a key that every run has.

        Args:
            key: dotted name.
            kind: type of the value.

        Raises:
            BoflError: if the key is missing, or its value has another type.
        """
        section, _, name = key.rpartition(".")
        try:
            require_keys(self.tables, key)
            return check_record(self.section(section)[name], kind, name=key)
        except MissingKeyError:
            raise BoflError(f"{self.path} is no run's configuration ({key} is missing): {_FIX}") from None
        except ValueError as error:
            raise BoflError(f"{self.path} is no run's configuration ({error}): {_FIX}") from None


def write_config(directory: Path, text: str) -> None:
    """Write the TOML text of a configuration into a run directory."""
    write_text(directory / CONFIG_FILE, text)


def read_config(directory: Path) -> RunConfig:
    """Read the configuration of a run.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    return read_file(directory / CONFIG_FILE, _parse, _FIX)


def _parse(path: Path) -> RunConfig:
    content = path.read_bytes()
    tables = parse_toml(content.decode("utf-8"))
    for name in SECTIONS:
        check_record(tables.get(name, {}), dict[str, Any], name=name)
    return RunConfig(path, tables, hashlib.sha256(content).digest())
