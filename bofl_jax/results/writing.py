"""Writes result files whole or not at all, and reads them back."""

import csv
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.parsing import parse_json, parse_toml
from bofl_jax.core.serialization import canonical_bytes

PACKAGES = ("bofl_jax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "wfdb", "orbax-checkpoint", "py-evm")


def summary_text(summary: dict[str, Any]) -> str:
    """``summary.json``, to the byte."""
    return json.dumps(summary, indent=1) + "\n"


def results_digest(path: Path, summary: dict[str, Any]) -> bytes:
    """32 bytes that stand for everything that was measured in a run but its clocks.

    SHA-256 of a JSON text (sorted keys, no spaces) of the summary's ``test`` and ``fairness``, the lines of
    ``rounds.jsonl`` without times, and the SHA-256 of ``clients.csv`` and of the arrays of ``predictions.npz``.

    Raises:
        BoflError: if a file is missing or damaged.
    """
    try:
        with np.load(path / "predictions.npz") as arrays:
            layout, data = canonical_bytes({name: arrays[name] for name in arrays.files})
        content = {
            "test": summary["test"],
            "fairness": summary["fairness"],
            "rounds": [_without_clocks(parse_json(line)) for line in (path / "rounds.jsonl").read_text().splitlines()],
            "clients": hashlib.sha256((path / "clients.csv").read_bytes()).hexdigest(),
            "predictions": hashlib.sha256(layout.encode() + data).hexdigest(),
        }
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise BoflError(f"the results in {path} are missing or damaged ({error}): restore them from a copy") from None
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()


def _without_clocks(record: dict[str, Any]) -> dict[str, Any]:
    ledger = {name: value for name, value in record["ledger"].items() if not name.endswith("_ms")}
    return {name: value for name, value in record.items() if name != "seconds"} | {"ledger": ledger}


def environment() -> dict[str, Any]:
    """Versions, device and platform."""
    device = jax.devices()[0]
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file whole or not at all; a row that lacks a column has an empty field there."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an ``.npz`` file whole or not at all."""
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, allow_pickle=False, **arrays)
    os.replace(partial, path)


def refuse_if_used(path: Path, resumable: bool) -> None:
    """Raises BoflError if ``path`` is a file, or a folder that holds anything."""
    if path.exists() and not path.is_dir():
        raise BoflError(f"{path} is a file: name another --out")
    if path.exists() and any(path.iterdir()):
        mend = "name another --out" + (", or go on with it by --resume" if resumable else "")
        raise BoflError(f"{path} is not empty: {mend}")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of a run directory; BoflError if it is missing or damaged."""
    try:
        return parse_toml(path.read_text())
    except (OSError, ValueError) as error:
        raise BoflError(f"{path} is missing or damaged ({error}): name a run directory") from None


def read_json(path: Path) -> Any:
    """Read a JSON file of a run directory; BoflError if it is missing or damaged."""
    try:
        return parse_json(path.read_text())
    except (OSError, ValueError) as error:
        raise BoflError(f"{path} is missing or damaged ({error}): name the directory of a completed run") from None


def _text(values: Mapping[str, Any], key: str) -> str | None:
    return json.dumps(values[key]) if key in values else None


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested tables under dotted names."""
    values: dict[str, Any] = {}
    for name, value in table.items():
        values |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return values
