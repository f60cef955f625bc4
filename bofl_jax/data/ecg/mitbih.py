"""MIT-BIH Arrhythmia Database: 48 half-hour records of 47 persons, two leads at 360 Hz.

The steps are median-filter baseline removal, low-pass, windows around the R peak, division by the record's standard
deviation over all beat windows, and RR inputs. The scale of a record (and, unless ``causal``, its mean RR) comes from
the whole record; it never depends on labels.

References:
    Moody, Mark: The impact of the MIT-BIH Arrhythmia Database. IEEE Engineering in Medicine and Biology, 2001.
    Goldberger et al.: PhysioBank, PhysioToolkit, and PhysioNet. Circulation, 2000.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.core.types import Samples
from bofl_jax.data.cache import cached_samples, content_key
from bofl_jax.data.demographics import GROUPS, Demographics
from bofl_jax.data.ecg.aami import AAMI, BEAT_SYMBOLS, CLASSES
from bofl_jax.data.ecg.beats import EcgOptions, RecordBeats, concatenate_records, extract_beats, without_repeats
from bofl_jax.data.ecg.filters import FS, condition
from bofl_jax.data.ecg.mitbih_records import ALL, PUBLISHED_COUNTS, RECORD_SETS, persons_of_records
from bofl_jax.data.ecg.wfdb_records import EXTENSIONS, WfdbFolder
from bofl_jax.data.location import existing_root
from bofl_jax.data.physionet import download_files, verify_files
from bofl_jax.data.registry import SOURCES, CheckReport, Progress, Source

RecordSet = Literal["ds1", "ds2", "nonpaced", "all"]

REMOTE = "mitdb/1.0.0"
"""Folder and version of the data set at PhysioNet."""

FOLDER = "mitdb"
"""Folder of the data set under ``BOFL_DATA`` or the cache."""

FILES: tuple[str, ...] = tuple(f"{record}.{extension}" for record in ALL for extension in EXTENSIONS)
"""Header, signal and annotations of the 48 records."""


class MitbihOptions(EcgOptions):
    """MIT-BIH Arrhythmia Database, read with wfdb."""

    source: Literal["mitbih"] = "mitbih"
    root: Path | None = Field(None, description="folder of the records; default: mitdb under BOFL_DATA or the cache")
    records: RecordSet | tuple[str, ...] = Field("nonpaced", description="a named set or a list of record names")
    lead: str = Field("MLII", min_length=1, description="lead, chosen by its name in the header")
    fallback_leads: tuple[str, ...] = Field((), description="leads to try, in order, where a record has no `lead`")
    aami: dict[str, tuple[str, ...]] = Field(AAMI, description="class -> annotation symbols of its beats")
    cache: bool = Field(True, description="keep the windows on disk, keyed by file content and options")

    @field_validator("records", mode="before")
    @classmethod
    def _names(cls, records: Any) -> Any:
        if isinstance(records, list | tuple):
            return tuple(str(name) if isinstance(name, int) else name for name in records)
        return records

    @field_validator("records")
    @classmethod
    def _known(cls, records: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(records, str):
            return records
        if not records:
            raise ValueError("records is empty: name at least one record, or one of " + ", ".join(RECORD_SETS))
        unknown = [name for name in records if name not in ALL]
        if unknown:
            raise ValueError(f"MIT-BIH has no record {unknown[0]!r}: it has {ALL[0]}-124 and 200-{ALL[-1]}, with gaps")
        return without_repeats(records, "record")

    @model_validator(mode="after")
    def _map_covers_classes(self) -> Self:
        missing = [name for name in self.classes if name not in self.aami]
        if missing:
            raise ValueError(f"class {missing[0]!r} has no entry in aami: add its annotation symbols there")
        symbols = [symbol for group in self.aami.values() for symbol in group]
        unknown = [symbol for symbol in symbols if symbol not in BEAT_SYMBOLS]
        if unknown:
            raise ValueError(f"aami holds {unknown[0]!r}, not a beat symbol: use {' '.join(sorted(BEAT_SYMBOLS))}")
        without_repeats(tuple(symbols), "symbol")
        return self

    def record_names(self) -> tuple[str, ...]:
        """The chosen records, in the order in which they become subjects."""
        return RECORD_SETS[self.records] if isinstance(self.records, str) else self.records


def _load(options: MitbihOptions, _seed: int) -> Samples:
    """Load the chosen records as samples. Subjects are named by their records, persons by their first record.

    Beats whose window would reach over an end of the record are dropped: 43 of the 109 494 with the default window.
    They still count as neighbours in the RR intervals, as do beats of classes that are left out.

    Raises:
        BoflError: if the folder, a file or a lead is missing, or a file is damaged; the message names it.
    """
    folder = _folder(options.root)
    if not options.cache:
        return _build(folder, options)
    files = [path for record in options.record_names() for path in folder.files(record)]
    key = content_key(files, options.model_dump(mode="json", exclude={"root", "cache"}))
    return cached_samples(key, lambda: _build(folder, options))


def _folder(root: Path | str | None) -> WfdbFolder:
    fix = "copy it again from the data set, or run `bofl data fetch mitbih`"
    return WfdbFolder(existing_root(root, FOLDER, "mitbih"), fix)


def _build(folder: WfdbFolder, options: MitbihOptions) -> Samples:
    names = options.record_names()
    records = [_read_record(folder, record, options) for record in names]
    return concatenate_records(records, names, options, persons_of_records(names))


def _read_record(folder: WfdbFolder, record: str, options: MitbihOptions) -> RecordBeats:
    root = folder.root
    signal, fs = folder.read_lead(record, (options.lead, *options.fallback_leads))
    if fs != FS:
        raise BoflError(f"{root / record}.hea says {fs:g} Hz, and MIT-BIH is sampled at {FS:g} Hz: check data.root")
    peaks, symbols = folder.read_beats(record)
    try:
        return extract_beats(condition(signal, options.lowpass_hz), peaks, _labels(symbols, options), options)
    except BoflError as error:
        raise BoflError(f"record {record} in {root}: {error}") from error


def _labels(symbols: np.ndarray, options: MitbihOptions) -> np.ndarray:
    labels = np.full(len(symbols), -1)
    for index, name in enumerate(options.classes):
        labels[np.isin(symbols, options.aami[name])] = index
    return labels


def count_beats(root: Path | str, records: Iterable[str], aami: Mapping[str, tuple[str, ...]] = AAMI) -> dict[str, int]:
    """Count the annotated beats of each class, including those at the ends of a record, which have no window.

    Args:
        root: folder of the records.
        records: names of records.
        aami: class -> annotation symbols.
    """
    folder = _folder(root)
    counts = dict.fromkeys(aami, 0)
    for record in records:
        _, symbols = folder.read_beats(record)
        for name, group in aami.items():
            counts[name] += int(np.isin(symbols, group).sum())
    return counts


def _read_demographics(options: MitbihOptions, subjects: Sequence[str]) -> list[Demographics]:
    folder = _folder(options.root)
    return [parse_demographics(folder.read_comments(record)) for record in subjects]


def parse_demographics(comments: Sequence[str]) -> Demographics:
    """Parse age and sex from the comments of a header, in the first line that gives an age.

    The fields after these two describe the tape and the recorder. An age of -1 and a sex other than F or M are unknown;
    so are both where no line gives an age.

    Args:
        comments: lines without their ``#``.

    Moody, Mark: MIT-BIH Arrhythmia Database Directory, 3rd edition, MIT, 1997.

    >>> parse_demographics(["69 M 1085 1629 x1", "Aldomet, Inderal"]), parse_demographics(["-1 F 742 654 x1"])
    (Demographics(age=69, sex='M'), Demographics(age=None, sex='F'))
    """
    matches = (re.match(r"(-?\d+)\s+(\S+)", line.strip()) for line in comments)
    found = next(filter(None, matches), None)
    if found is None:
        return Demographics()
    age, sex = int(found[1]), found[2]
    return Demographics(age if age >= 0 else None, sex if sex in GROUPS["sex"] else None)


def _fetch(folder: Path, progress: Progress | None) -> None:
    download_files(REMOTE, FILES, folder, progress)


def _check(folder: Path) -> CheckReport:
    """Verify all 144 files, and the number of beats in DS1, DS2, the 44 and the 48 records."""
    verify_files(folder, FILES, "mitbih")
    for row, records in RECORD_SETS.items():
        _compare_counts(row, count_beats(folder, records))
    rows = {row: (*counts, sum(counts)) for row, counts in PUBLISHED_COUNTS.items()}
    return CheckReport(len(FILES), (*CLASSES, "total"), rows)


def _compare_counts(row: str, counts: dict[str, int]) -> None:
    for name, published in zip(CLASSES, PUBLISHED_COUNTS[row], strict=True):
        if counts[name] != published:
            raise VerificationError(f"{row} has {counts[name]} beats of class {name}, not the published {published}")


SOURCES.register(
    Source(
        options=MitbihOptions,
        description="MIT-BIH Arrhythmia Database: 48 half-hour ECG records, read with wfdb",
        load=_load,
        demographics=_read_demographics,
        folder=FOLDER,
        fetch=_fetch,
        check=_check,
    )
)
