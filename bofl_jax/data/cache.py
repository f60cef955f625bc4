"""Preprocessed windows on disk, found by the content of the recordings and the options.

The key is a SHA-256 over the version of the pipeline, the options and the bytes of every input file. Therefore a
repaired recording or a changed option never gets old windows. Hashing the 88 MB of MIT-BIH takes about 0.3 s.
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

PIPELINE_VERSION = 2
"""Raise it whenever the same input and options would give other samples."""

log = logging.getLogger(__name__)


def content_key(files: Iterable[Path], options: dict[str, Any]) -> str:
    """Compute the key of samples that are built from files.

    Args:
        files: the input files; their order, names and bytes matter.
        options: JSON values on which the samples depend.

    Returns:
        SHA-256 in hex.
    """
    libraries = {name: version(name) for name in ("numpy", "scipy", "wfdb")}
    head = json.dumps({"pipeline": PIPELINE_VERSION, "tools": libraries, "options": options}, sort_keys=True)
    digest = hashlib.sha256(head.encode())
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\n{path.name} {content}".encode())
    return digest.hexdigest()


def cached_samples(key: str, build: Callable[[], Samples]) -> Samples:
    """Read the samples that are stored under a key, or build and store them.

    A damaged file is rebuilt. In a folder that cannot be written to, samples are built but not stored. Both are logged.

    Args:
        key: from ``content_key``.
        build: makes the samples.
    """
    path = cache_home() / "windows" / f"{key}.npz"
    stored = _read(path) if path.is_file() else None
    if stored is not None:
        return stored
    samples = build()
    try:
        _write(path, samples)
    except OSError as error:
        log.warning("windows are not cached: %s", error)
    return samples


def _read(path: Path) -> Samples | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Samples(**{name: _field(arrays[name]) for name in arrays.files})
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, BoflError) as error:
        log.warning("cached windows %s are damaged (%s) and are built anew", path, error)
        return None


def _field(array: np.ndarray) -> Any:
    """A field of ``Samples`` from its stored form: names are tuples, a scalar is a Python value."""
    if array.ndim == 0:
        return array.item()
    return tuple(array.tolist()) if array.dtype.kind == "U" else array


def _write(path: Path, samples: Samples) -> None:
    """Write a temporary file and rename it, so that a reader never sees an incomplete file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=".npz")
    values = {field.name: getattr(samples, field.name) for field in fields(Samples)}
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in values.items() if value is not None}
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
