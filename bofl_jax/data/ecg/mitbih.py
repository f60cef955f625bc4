"""MIT-BIH Arrhythmia Database: 48 half-hour records of 47 people, two leads at 360 Hz.

Median-filter baseline removal, low-pass, R-centred windows divided by the record's standard deviation over all beat
windows, and RR inputs. The scale of a record (and, unless ``causal``, its mean RR) comes from the whole record; labels
are never used for it.

References:
    Moody, Mark: The impact of the MIT-BIH Arrhythmia Database. IEEE Engineering in Medicine and Biology, 2001.
    Goldberger et al.: PhysioBank, PhysioToolkit, and PhysioNet. Circulation, 2000.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.data.cache import cached, content_key
from bofl_jax.data.ecg.beats import RecordBeats, join_records, record_beats
from bofl_jax.data.ecg.filters import FS, condition
from bofl_jax.data.ecg.records import AAMI
from bofl_jax.data.ecg.wfdb_records import read_beats, read_comments, read_lead, record_files
from bofl_jax.data.location import existing_root
from bofl_jax.data.options import MitbihOptions
from bofl_jax.data.people import Person, parse_person


def load_mitbih(options: MitbihOptions) -> Samples:
    """All chosen records as samples; subjects are record names (see ``person_of`` for 201 and 202).

    Beats whose window would reach over an end of the record are dropped: 43 of the 109 494 with the default window.
    They still count as neighbours in the RR intervals, as do beats of classes that are left out.

    Raises:
        BoflError: if the folder, a file or a lead is missing, or a file is damaged; the message names it.
    """
    root = existing_root(options.root, "mitbih")
    if not options.cache:
        return _build(root, options)
    files = [path for record in options.record_names() for path in record_files(root, record)]
    key = content_key(files, options.model_dump(mode="json", exclude={"root", "cache"}))
    return cached(key, lambda: _build(root, options))


def class_counts(
    root: Path | str, records: Iterable[str], aami: Mapping[str, tuple[str, ...]] = AAMI
) -> dict[str, int]:
    """Annotated beats in each class, all of them: those at the ends of a record too, which have no window.

    Args:
        root: folder of the records.
        records: record names.
        aami: class -> annotation symbols.
    """
    counts = dict.fromkeys(aami, 0)
    for record in records:
        _, symbols = read_beats(Path(root), record)
        for name, group in aami.items():
            counts[name] += int(np.isin(symbols, group).sum())
    return counts


def read_people(options: MitbihOptions, subjects: Sequence[str]) -> list[Person]:
    """Age and sex of the person behind every record, from its header.

    Args:
        options: say where the records lie.
        subjects: record names.

    Raises:
        BoflError: if a header is missing or damaged.
    """
    root = existing_root(options.root, "mitbih")
    return [parse_person(read_comments(root, record)) for record in subjects]


def _build(root: Path, options: MitbihOptions) -> Samples:
    names = options.record_names()
    records = [_read_record(root, record, options) for record in names]
    return join_records(records, names, options)


def _read_record(root: Path, record: str, options: MitbihOptions) -> RecordBeats:
    signal, fs = read_lead(root, record, (options.lead, *options.fallback_leads))
    if fs != FS:
        raise BoflError(f"{root / record}.hea says {fs:g} Hz, and MIT-BIH is sampled at {FS:g} Hz: check data.root")
    peaks, symbols = read_beats(root, record)
    try:
        return record_beats(condition(signal, options.lowpass_hz), peaks, _labels(symbols, options), options)
    except BoflError as error:
        raise BoflError(f"record {record} in {root}: {error}") from error


def _labels(symbols: np.ndarray, options: MitbihOptions) -> np.ndarray:
    labels = np.full(len(symbols), -1)
    for index, name in enumerate(options.classes):
        labels[np.isin(symbols, options.aami[name])] = index
    return labels
