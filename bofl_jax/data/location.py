"""Where data sets and caches lie."""

import os
from pathlib import Path

from bofl_jax.core.errors import BoflError

FOLDERS = {"mitbih": "mitdb"}
"""Folder of each data set under ``BOFL_DATA`` or the cache."""


def cache_home() -> Path:
    """The folder for what can be made or fetched again: ``BOFL_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("BOFL_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "bofl_jax"


def data_root(root: Path | str | None, source: str) -> Path:
    """The folder of a data set: ``root`` if given, else its folder under ``BOFL_DATA``, else under the cache.

    The folder need not exist; ``existing_root`` insists on it.
    """
    if root is not None:
        return Path(root).expanduser()
    base = os.environ.get("BOFL_DATA")
    return (Path(base).expanduser() if base else cache_home()) / FOLDERS[source]


def existing_root(root: Path | str | None, source: str) -> Path:
    """``data_root``, or a BoflError that says how to get the data if there is no such folder."""
    folder = data_root(root, source)
    if not folder.is_dir():
        raise BoflError(f"no folder {folder}: set data.root or BOFL_DATA, or run `bofl data fetch {source}`")
    return folder
