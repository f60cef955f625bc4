"""From conditioned ECG records to one pool of labelled beats: the steps that all beat sources share."""

from typing import NamedTuple

import numpy as np
from pydantic import Field, field_validator

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.data.ecg.aami import CLASSES
from bofl_jax.data.ecg.features import cut_windows, rr_features, scale_windows
from bofl_jax.data.ecg.filters import FS
from bofl_jax.data.registry import SourceOptions


class EcgOptions(SourceOptions):
    """Options of every source of beats: the window around the R peak, the low-pass, the RR inputs, the classes."""

    half_window: int = Field(128, ge=16, le=360, description="samples at 360 Hz on each side of the R peak")
    decimate: int = Field(2, ge=1, le=8, description="keep every n-th sample of the window (2: 180 Hz)")
    lowpass_hz: float = Field(40.0, gt=1, lt=180, description="zero-phase Butterworth low-pass of order 3, in Hz")
    causal: bool = Field(False, description="RR inputs without look-ahead: 4 of them instead of 7")
    classes: tuple[str, ...] = Field(CLASSES, min_length=2, description="beats of other classes are dropped")

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        return without_repeats(classes, "class")


def without_repeats(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Return the names if each is listed once; otherwise raise a ValueError for pydantic.

    Args:
        names: a list from the configuration.
        what: what one of them is, for the message.
    """
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(f"{what} {repeated[0]!r} is listed twice: list it once")
    return names


class RecordBeats(NamedTuple):
    """The beats of one record that are of the chosen classes."""

    x: np.ndarray  # float32[M, T], in units of the record's standard deviation
    features: np.ndarray  # float32[M, F]
    y: np.ndarray  # int32[M]
    time: np.ndarray  # float64[M], R peak in s


def extract_beats(signal: np.ndarray, peaks: np.ndarray, labels: np.ndarray, options: EcgOptions) -> RecordBeats:
    """Cut labelled windows and compute RR inputs from one conditioned lead.

    Args:
        signal: float[n] at 360 Hz, after ``filters.condition``.
        peaks: int[N], R peaks of all beats, as samples.
        labels: int[N], index into ``options.classes``, -1 for a beat of another class.
        options: window, decimation, RR inputs.

    Raises:
        BoflError: if no window fits into the record, the signal is flat, or the record has fewer than two beats.
    """
    windows, fits = cut_windows(signal, peaks, options.half_window, options.decimate)
    if not len(windows):
        raise BoflError("no beat window fits into the record: use a smaller data.half_window")
    times = peaks / FS
    chosen = labels >= 0
    return RecordBeats(
        x=scale_windows(windows)[chosen[fits]],
        features=rr_features(times, options.causal)[fits & chosen],
        y=labels[fits & chosen].astype(np.int32),
        time=times[fits & chosen],
    )


def concatenate_records(
    records: list[RecordBeats],
    subjects: tuple[str, ...],
    options: EcgOptions,
    person: tuple[str, ...] | None = None,
) -> Samples:
    """Join the beats of S records into one pool of samples.

    Args:
        records: the beats of each subject.
        subjects: names of the S subjects, in the same order.
        options: classes and decimation.
        person: names of the persons behind the subjects; None if every subject is a person of their own.
    """
    return Samples(
        x=np.concatenate([record.x for record in records])[:, :, None],
        features=np.concatenate([record.features for record in records]),
        y=np.concatenate([record.y for record in records]),
        subject=np.repeat(np.arange(len(records), dtype=np.int32), [len(record.y) for record in records]),
        time=np.concatenate([record.time for record in records]),
        classes=options.classes,
        subjects=subjects,
        fs=FS / options.decimate,
        person=person,
    )
