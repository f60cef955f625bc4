"""Files of a PhysioNet data set: downloaded with wfdb, and compared with the published checksums.

A file gets its name only after its checksum was found right. A broken download therefore leaves complete files only,
and can be repeated.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.data.ecg.wfdb_records import load_wfdb
from bofl_jax.data.registry import Progress

CHECKSUMS_FILE = "SHA256SUMS.txt"


def download_files(remote: str, files: Sequence[str], folder: Path, progress: Progress | None = None) -> None:
    """Download the files that a folder lacks, or that differ from the published ones.

    Args:
        remote: folder and version of the data set at PhysioNet, for example ``mitdb/1.0.0``.
        files: names of the files.
        folder: where they are stored; it must exist.
        progress: called after every file.

    Raises:
        BoflError: if a file comes damaged from the server, or the server does not list it.
        OSError: if the network or the disk fails.
    """
    checksums = _fetch_checksums(remote, folder)
    for done, file in enumerate(files, start=1):
        if file not in checksums:
            raise BoflError(f"the server's {CHECKSUMS_FILE} does not list {file}: try again later")
        target = folder / file
        if not (target.is_file() and has_checksum(target, checksums[file])):
            _download_file(remote, target, checksums[file])
        if progress is not None:
            progress(file, done, len(files))


def verify_files(folder: Path, files: Sequence[str], source: str) -> None:
    """Verify that the files of a data set exist and have their published checksums.

    Args:
        folder: the data set.
        files: names of the files.
        source: name of the data source, for the message.

    Raises:
        VerificationError: naming the first file that is missing or differs, or the list of checksums.
    """
    fix = f"run `bofl data fetch {source}`"
    checksums = read_checksums(folder / CHECKSUMS_FILE, fix)
    for path in (folder / file for file in files):
        if path.name not in checksums:
            raise VerificationError(f"{CHECKSUMS_FILE} does not list {path.name}: delete the list and {fix}")
        if not path.is_file():
            raise VerificationError(f"no file {path}: {fix}")
        if not has_checksum(path, checksums[path.name]):
            raise VerificationError(f"{path} differs from the published file: delete it and {fix}")


def read_checksums(path: Path, fix: str) -> dict[str, str]:
    """Read PhysioNet's list of checksums: file name -> hex SHA-256.

    Args:
        path: the list.
        fix: how to get it again, for the message.

    Raises:
        VerificationError: if the list is missing or damaged.
    """
    if not path.is_file():
        raise VerificationError(f"no file {path}: it comes with the data set; {fix}")
    pairs = [line.split(maxsplit=1) for line in path.read_text(errors="replace").splitlines() if line.strip()]
    if not pairs or any(len(pair) != 2 or len(pair[0]) != 64 for pair in pairs):
        raise VerificationError(f"{path} is damaged: delete it and {fix}")
    return {file.strip(): digest for digest, file in pairs}


def has_checksum(path: Path, expected: str) -> bool:
    """Whether the file's SHA-256 is ``expected`` (hex)."""
    return hashlib.sha256(path.read_bytes()).hexdigest() == expected


def _fetch_checksums(remote: str, folder: Path) -> dict[str, str]:
    """The list of checksums: the one in the folder if it is readable, else the server's."""
    path, fix = folder / CHECKSUMS_FILE, "try again later"
    try:
        return read_checksums(path, fix)
    except VerificationError:
        with _partial_file(path) as part:
            _download(remote, CHECKSUMS_FILE, part)
            checksums = read_checksums(part, fix)
            os.replace(part, path)
        return checksums


def _download_file(remote: str, target: Path, expected: str) -> None:
    with _partial_file(target) as part:
        _download(remote, target.name, part)
        if not has_checksum(part, expected):
            raise BoflError(f"{target.name} came damaged from the server: run the command again")
        os.replace(part, target)


def _download(remote: str, file: str, part: Path) -> None:
    """Download one file from the server that ``wfdb.set_db_index_url`` names (PhysioNet unless set)."""
    download = load_wfdb().io.download
    download.dl_full_file(f"{download.config.db_index_url}{remote}/{file}", str(part))


@contextmanager
def _partial_file(target: Path) -> Iterator[Path]:
    """A temporary name for a file until its content is verified; the temporary file never stays."""
    part = target.with_name(target.name + ".part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)
