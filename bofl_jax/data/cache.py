"""Preprocessed windows on disk, found again by the content of the recordings and the options.

The key is a SHA-256 over the pipeline's version, the options and the bytes of every input file, so a repaired recording
or a changed option never meets old windows. Hashing the 88 MB of the MIT-BIH records takes about a third of a second.
"""

import hashlib
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.data.location import cache_home

PIPELINE = 1
"""Raise it whenever the same input and options would give other windows."""

log = logging.getLogger(__name__)


def content_key(files: Iterable[Path], options: dict[str, Any]) -> str:
    """Hex SHA-256 of the pipeline, the options (JSON values) and the files' names and bytes, in the order given."""
    tools = {name: version(name) for name in ("numpy", "scipy", "wfdb")}
    head = json.dumps({"pipeline": PIPELINE, "tools": tools, "options": options}, sort_keys=True)
    digest = hashlib.sha256(head.encode())
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\n{path.name} {content}".encode())
    return digest.hexdigest()


def cached(key: str, build: Callable[[], Samples]) -> Samples:
    """The samples kept under ``key``, or those that ``build`` makes, which are then kept.

    A damaged file is built anew; a folder that cannot be written to costs the caching only. Both are logged.
    """
    path = cache_home() / "windows" / f"{key}.npz"
    kept = _read(path) if path.is_file() else None
    if kept is not None:
        return kept
    samples = build()
    try:
        _write(path, samples)
    except OSError as error:
        log.warning("windows are not cached: %s", error)
    return samples


def _read(path: Path) -> Samples | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            values: dict[str, Any] = {field.name: arrays[field.name] for field in fields(Samples)}
        for name in ("classes", "subjects"):
            values[name] = tuple(values[name].tolist())
        values["fs"] = float(values["fs"])
        return Samples(**values)
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, BoflError) as error:
        log.warning("cached windows %s are damaged (%s) and are built anew", path, error)
        return None


def _write(path: Path, samples: Samples) -> None:
    """Write beside the target and rename, so that no reader ever meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            arrays: dict[str, Any] = {field.name: getattr(samples, field.name) for field in fields(Samples)}
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
