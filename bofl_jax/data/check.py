"""Is a data set on disk the published one? Checksums of every file, then the counts of its beats."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.data.ecg.mitbih import class_counts
from bofl_jax.data.ecg.records import ALL, CLASSES, PUBLISHED_COUNTS, RECORD_SETS
from bofl_jax.data.ecg.wfdb_records import EXTENSIONS
from bofl_jax.data.location import existing_root

SUMS_FILE = "SHA256SUMS.txt"


class CheckReport(NamedTuple):
    """What was found to hold, for the command line to print as a table."""

    name: str
    root: Path
    files: int  # how many files have the right checksum
    columns: tuple[str, ...]  # class names, then "total"
    rows: dict[str, tuple[int, ...]]  # set of records -> beats in each column


def check(name: str, root: Path | str | None = None) -> CheckReport:
    """Verify the files of a data set.

    Args:
        name: data set, a key of ``CHECKS``.
        root: its folder; by default as for ``data.root``.

    Raises:
        BoflError: there is no such data set or folder.
        VerificationError: a file is missing or is not the published one, or a count differs; names the first.
    """
    if name not in CHECKS:
        raise BoflError(f"there are no published files to check for {name!r}: use one of {', '.join(CHECKS)}")
    return CHECKS[name](existing_root(root, name))


def check_mitbih(root: Path) -> CheckReport:
    """All 144 files of MIT-BIH against PhysioNet's checksums, and the beats of DS1, DS2, the 44 and the 48 records."""
    sums = read_sums(root / SUMS_FILE)
    files = mitbih_files()
    for file in files:
        verify_file(root / file, sums)
    for row, records in RECORD_SETS.items():
        _compare_counts(row, class_counts(root, records))
    rows = {row: (*counts, sum(counts)) for row, counts in PUBLISHED_COUNTS.items()}
    return CheckReport("mitbih", root, len(files), (*CLASSES, "total"), rows)


def mitbih_files() -> tuple[str, ...]:
    """The file names that make up the data set: header, signal and annotations of 48 records."""
    return tuple(f"{record}.{extension}" for record in ALL for extension in EXTENSIONS)


def read_sums(path: Path) -> dict[str, str]:
    """File name -> hex SHA-256, from PhysioNet's list.

    Raises:
        VerificationError: if the list is missing or is not one.
    """
    if not path.is_file():
        raise VerificationError(f"no file {path}: it comes with the data set; run `bofl data fetch mitbih`")
    pairs = [line.split(maxsplit=1) for line in path.read_text(errors="replace").splitlines() if line.strip()]
    if not pairs or any(len(pair) != 2 or len(pair[0]) != 64 for pair in pairs):
        raise VerificationError(f"{path} is damaged: delete it and run `bofl data fetch mitbih`")
    return {file.strip(): digest for digest, file in pairs}


def verify_file(path: Path, sums: dict[str, str]) -> None:
    """Raise a VerificationError unless the file exists and has its published checksum."""
    if path.name not in sums:
        raise VerificationError(f"{SUMS_FILE} does not list {path.name}: fetch the list again")
    if not path.is_file():
        raise VerificationError(f"no file {path}: run `bofl data fetch mitbih`")
    if not has_sum(path, sums[path.name]):
        raise VerificationError(f"{path} differs from the published file: delete it and run `bofl data fetch mitbih`")


def has_sum(path: Path, expected: str) -> bool:
    """Whether the file's SHA-256 is ``expected`` (hex)."""
    return hashlib.sha256(path.read_bytes()).hexdigest() == expected


def _compare_counts(row: str, counts: dict[str, int]) -> None:
    for name, published in zip(CLASSES, PUBLISHED_COUNTS[row], strict=True):
        if counts[name] != published:
            raise VerificationError(f"{row} has {counts[name]} beats of class {name}, not the published {published}")


CHECKS: dict[str, Callable[[Path], CheckReport]] = {"mitbih": check_mitbih}
"""Data sets whose files have published checksums."""
