"""Reading WFDB records; every kind of missing or damaged file is reported in one line."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.data.ecg.aami import BEAT_SYMBOLS

BYTES_PER_SAMPLE = {"212": 1.5, "16": 2, "61": 2, "80": 1, "24": 3, "32": 4}
"""Width of a sample in the common WFDB signal formats."""

EXTENSIONS = ("hea", "dat", "atr")
"""Extensions of a record's header, signal and annotation files."""


@cache
def load_wfdb() -> Any:
    """The module wfdb. It is imported at the first use, because the import takes a second."""
    with _ignore_deprecation_warnings():
        import wfdb
    return wfdb


class WfdbFolder(NamedTuple):
    """A folder of WFDB records.

    Attributes:
        root: the folder.
        fix: how to repair a missing or damaged file; every error message ends with it.
    """

    root: Path
    fix: str = "copy it again from the data set"

    def files(self, record: str) -> list[Path]:
        """The record's header, signal and annotation files.

        Raises:
            BoflError: if one is missing.
        """
        return [self._file(record, extension) for extension in EXTENSIONS]

    def read_lead(self, record: str, leads: tuple[str, ...]) -> tuple[np.ndarray, float]:
        """Read one lead of a record: the first of ``leads`` that its header names.

        Args:
            record: name of the record.
            leads: names of leads, in order of preference.

        Returns:
            ``float64[n]``, the signal in physical units (mV), and the sampling rate in Hz.

        Raises:
            BoflError: if the record has none of the leads, or a file is missing, damaged or truncated.
        """
        wfdb = load_wfdb()
        header_path, signal_path, _ = self.files(record)
        header = self._read(header_path, lambda: wfdb.rdheader(str(self.root / record)))
        self._check_size(signal_path, header)
        channel = _channel(record, header.sig_name, leads)
        read = self._read(signal_path, lambda: wfdb.rdrecord(str(self.root / record), channels=[channel]))
        signal: np.ndarray = read.p_signal[:, 0]
        invalid = ~np.isfinite(signal)
        if invalid.any():
            raise BoflError(
                f"{signal_path} has an invalid sample at {int(invalid.argmax())}: choose another lead or record"
            )
        return signal, float(header.fs)

    def read_comments(self, record: str) -> list[str]:
        """The comment lines of a record's header, without their ``#``.

        Raises:
            BoflError: if the header is missing or damaged.
        """
        path = self._file(record, "hea")
        header = self._read(path, lambda: load_wfdb().rdheader(str(self.root / record)))
        return list(header.comments)

    def read_beats(self, record: str) -> tuple[np.ndarray, np.ndarray]:
        """Read the annotated beats of a record.

        Returns:
            ``int64[N]``, the sample index of each R peak, and ``str[N]``, its annotation symbol.

        Raises:
            BoflError: if the file is missing or damaged, or marks no beat.
        """
        path = self._file(record, "atr")
        if not path.stat().st_size:
            raise BoflError(f"{path} is empty: {self.fix}")
        annotation = self._read(path, lambda: load_wfdb().rdann(str(self.root / record), "atr"))
        symbols = np.asarray(annotation.symbol, dtype=str)
        beats = np.isin(symbols, list(BEAT_SYMBOLS))
        if not beats.any():
            raise BoflError(f"{path} marks no beat: {self.fix}, or leave record {record} out")
        return np.asarray(annotation.sample, np.int64)[beats], symbols[beats]

    def _file(self, record: str, extension: str) -> Path:
        path = self.root / f"{record}.{extension}"
        if not path.is_file():
            raise BoflError(f"no file {path}: {self.fix}")
        return path

    def _read(self, path: Path, read: Callable[[], Any]) -> Any:
        """Call a reader of wfdb; any exception means that the file is damaged."""
        try:
            with _ignore_deprecation_warnings():
                return read()
        except Exception as error:
            detail = " ".join(str(error).split()) or type(error).__name__
            raise BoflError(f"{path} is damaged ({detail}): {self.fix}") from error

    def _check_size(self, path: Path, header: Any) -> None:
        """Compare a signal file's size with its header, because wfdb may read a truncated file without an error."""
        width = BYTES_PER_SAMPLE.get(header.fmt[0]) if header.fmt else None
        if width is None or not header.sig_len:
            raise BoflError(f"{path.with_suffix('.hea')} does not describe the signal: {self.fix}")
        expected = ceil(header.n_sig * header.sig_len * width)
        found = path.stat().st_size
        if found < expected:
            raise BoflError(f"{path} is truncated ({found} of {expected} bytes): {self.fix}")


def _channel(record: str, names: list[str], leads: tuple[str, ...]) -> int:
    for lead in leads:
        if lead in names:
            return names.index(lead)
    raise BoflError(
        f"record {record} has no lead {' or '.join(leads)}, only {', '.join(names)}: "
        "set data.lead or data.fallback_leads, or leave the record out"
    )


@contextmanager
def _ignore_deprecation_warnings() -> Iterator[None]:
    """Ignore warnings of pandas about the way in which wfdb uses it; users cannot act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
