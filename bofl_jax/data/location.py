"""Folders of data sets and caches."""

import os
from pathlib import Path

from bofl_jax.core.errors import BoflError


def cache_home() -> Path:
    """The folder for files that can be computed or fetched again: ``BOFL_CACHE``, or else the user's cache folder."""
    chosen = os.environ.get("BOFL_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "bofl_jax"


def data_root(root: Path | str | None, folder: str) -> Path:
    """The folder of a data set, which need not exist.

    Args:
        root: the folder that the user chose, or None.
        folder: its name under ``BOFL_DATA``, or else under the cache, where the user chose none.
    """
    if root is not None:
        return Path(root).expanduser()
    base = os.environ.get("BOFL_DATA")
    return (Path(base).expanduser() if base else cache_home()) / folder


def existing_root(root: Path | str | None, folder: str, source: str) -> Path:
    """The folder of a data set, which must exist.

    Args:
        root: the folder that the user chose, or None.
        folder: its name under ``BOFL_DATA`` or the cache.
        source: name of the data source, for the message.

    Raises:
        BoflError: if there is no such folder; the message says how to get the data.
    """
    found = data_root(root, folder)
    if not found.is_dir():
        raise BoflError(f"no folder {found}: set data.root or BOFL_DATA, or run `bofl data fetch {source}`")
    return found
