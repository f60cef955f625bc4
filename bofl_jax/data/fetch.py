"""Downloading a data set with wfdb, in such a way that a broken download can simply be started again."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.data.check import SUMS_FILE, has_sum, mitbih_files, read_sums
from bofl_jax.data.ecg.wfdb_records import load_wfdb
from bofl_jax.data.location import data_root

REMOTE = {"mitbih": "mitdb/1.0.0"}
"""Folder and version of each data set at PhysioNet."""

FILES = {"mitbih": mitbih_files}

Progress = Callable[[str, int, int], None]


def fetch(name: str, root: Path | str | None = None, progress: Progress | None = None) -> Path:
    """Download a data set; files that are there already, with the published checksum, are kept.

    A file appears under its name only after its checksum was found right, so whatever lies in the folder is whole.

    Args:
        name: data set, a key of ``REMOTE``.
        root: folder to fill; by default as for ``data.root``.
        progress: called as ``progress(file, done, total)`` after every file.

    Returns:
        The folder.

    Raises:
        BoflError: unknown name, no network, a folder that cannot be written to, or a damaged file from the server.
    """
    if name not in REMOTE:
        raise BoflError(f"{name!r} is not a data set to fetch: use one of {', '.join(REMOTE)}")
    folder = data_root(root, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch_all(REMOTE[name], FILES[name](), folder, progress)
    except OSError as error:
        # A library wraps the cause ("Max retries exceeded ..."): what was wrong with the connection stands innermost.
        reason = " ".join(str(error).split()).split("Caused by ")[-1].rstrip(")")
        raise BoflError(
            f"{name} could not be fetched to {folder} ({reason}): check the network and try again"
        ) from error
    return folder


def _fetch_all(remote: str, files: tuple[str, ...], folder: Path, progress: Progress | None) -> None:
    sums = _fetch_sums(remote, folder)
    for done, file in enumerate(files, start=1):
        if file not in sums:
            raise BoflError(f"the server's {SUMS_FILE} does not list {file}: try again later")
        target = folder / file
        if not (target.is_file() and has_sum(target, sums[file])):
            _fetch_file(remote, target, sums[file])
        if progress is not None:
            progress(file, done, len(files))


def _fetch_sums(remote: str, folder: Path) -> dict[str, str]:
    """The list of checksums, the one in the folder if it can be read."""
    path = folder / SUMS_FILE
    try:
        return read_sums(path)
    except VerificationError:
        with _Part(path) as part:
            _download(remote, SUMS_FILE, part)
            sums = read_sums(part)
            os.replace(part, path)
        return sums


def _fetch_file(remote: str, target: Path, expected: str) -> None:
    with _Part(target) as part:
        _download(remote, target.name, part)
        if not has_sum(part, expected):
            raise BoflError(f"{target.name} came damaged from the server: run the command again")
        os.replace(part, target)


def _download(remote: str, file: str, part: Path) -> None:
    """One file through wfdb, from the server that ``wfdb.set_db_index_url`` names (PhysioNet unless set)."""
    download = load_wfdb().io.download
    download.dl_full_file(f"{download.config.db_index_url}{remote}/{file}", str(part))


class _Part(AbstractContextManager[Path]):
    """A file under another name until it is known to be right; nothing is left of it otherwise."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)
