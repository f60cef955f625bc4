"""Reading one WFDB record, with every way in which its files can be bad told in one line."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.data.ecg.records import BEAT_SYMBOLS

BYTES_PER_SAMPLE = {"212": 1.5, "16": 2, "61": 2, "80": 1, "24": 3, "32": 4}
"""Width of a sample in the common WFDB signal formats."""

EXTENSIONS = ("hea", "dat", "atr")
MEND = "copy it again from the data set, or run `bofl data fetch mitbih`"


@cache
def load_wfdb() -> ModuleType:
    """wfdb, imported when first needed, since that takes a second."""
    with _quiet():
        import wfdb
    return wfdb


def record_files(root: Path, record: str) -> list[Path]:
    """The record's header, signal and annotation files.

    Raises:
        BoflError: if one is missing.
    """
    files = [root / f"{record}.{extension}" for extension in EXTENSIONS]
    for path in files:
        if not path.is_file():
            raise BoflError(f"no file {path}: {MEND}")
    return files


def read_lead(root: Path, record: str, leads: tuple[str, ...]) -> tuple[np.ndarray, float]:
    """One lead of a record, the first of ``leads`` that its header names.

    Returns:
        ``float64[n]``, the signal in physical units (mV), and the sampling rate in Hz.

    Raises:
        BoflError: if the record has none of the leads, or a file is missing, damaged or truncated.
    """
    wfdb = load_wfdb()
    header_path, signal_path, _ = record_files(root, record)
    header = _guard(header_path, lambda: wfdb.rdheader(str(root / record)))
    _check_size(signal_path, header)
    channel = _channel(record, header.sig_name, leads)
    signal = _guard(signal_path, lambda: wfdb.rdrecord(str(root / record), channels=[channel])).p_signal[:, 0]
    bad = ~np.isfinite(signal)
    if bad.any():
        raise BoflError(f"{signal_path} has an invalid sample at {int(bad.argmax())}: choose another lead or record")
    return signal, float(header.fs)


def read_comments(root: Path, record: str) -> list[str]:
    """The comment lines of a record's header, without their ``#``.

    Raises:
        BoflError: if the header is missing or damaged.
    """
    path = root / f"{record}.hea"
    if not path.is_file():
        raise BoflError(f"no file {path}: {MEND}")
    header = _guard(path, lambda: load_wfdb().rdheader(str(root / record)))
    return list(header.comments)


def read_beats(root: Path, record: str) -> tuple[np.ndarray, np.ndarray]:
    """The annotated beats of a record.

    Returns:
        ``int64[N]``, the sample index of each R peak, and ``str[N]``, its annotation symbol.

    Raises:
        BoflError: if the file is missing or damaged, or marks no beat.
    """
    wfdb = load_wfdb()
    path = root / f"{record}.atr"
    if not path.is_file():
        raise BoflError(f"no file {path}: {MEND}")
    if not path.stat().st_size:
        raise BoflError(f"{path} is empty: {MEND}")
    annotation = _guard(path, lambda: wfdb.rdann(str(root / record), "atr"))
    symbols = np.asarray(annotation.symbol, dtype=str)
    beats = np.isin(symbols, list(BEAT_SYMBOLS))
    if not beats.any():
        raise BoflError(f"{path} marks no beat: {MEND}, or leave record {record} out")
    return np.asarray(annotation.sample, np.int64)[beats], symbols[beats]


def _channel(record: str, names: list[str], leads: tuple[str, ...]) -> int:
    for lead in leads:
        if lead in names:
            return names.index(lead)
    raise BoflError(
        f"record {record} has no lead {' or '.join(leads)}, only {', '.join(names)}: "
        "set data.lead or data.fallback_leads, or leave the record out"
    )


def _check_size(path: Path, header: Any) -> None:
    """wfdb may read a shortened file without complaint, so its size is compared with what the header promises."""
    width = BYTES_PER_SAMPLE.get(header.fmt[0]) if header.fmt else None
    if width is None or not header.sig_len:
        raise BoflError(f"{path.with_suffix('.hea')} does not describe the signal: {MEND}")
    expected = ceil(header.n_sig * header.sig_len * width)
    found = path.stat().st_size
    if found < expected:
        raise BoflError(f"{path} is truncated ({found} of {expected} bytes): {MEND}")


def _guard(path: Path, read: Callable[[], Any]) -> Any:
    """Run a wfdb reader; whatever it stumbles over means that the file is damaged."""
    try:
        with _quiet():
            return read()
    except Exception as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise BoflError(f"{path} is damaged ({detail}): {MEND}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """wfdb uses pandas in ways that newer versions of it warn about; that is no news for our users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
