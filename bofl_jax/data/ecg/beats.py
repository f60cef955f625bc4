"""From conditioned records to one pool of labelled beats: the last steps, the same for recorded and simulated ECG."""

from typing import NamedTuple

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.data.ecg.features import cut_windows, rr_features, scale_windows
from bofl_jax.data.ecg.filters import FS
from bofl_jax.data.options import EcgOptions


class RecordBeats(NamedTuple):
    """The beats of one record, of the chosen classes."""

    x: np.ndarray  # float32[M, T], in units of the record's standard deviation
    features: np.ndarray  # float32[M, F]
    y: np.ndarray  # int32[M]
    time: np.ndarray  # float64[M], R peak in s


def record_beats(signal: np.ndarray, peaks: np.ndarray, labels: np.ndarray, options: EcgOptions) -> RecordBeats:
    """From one conditioned lead to labelled windows.

    Args:
        signal: float[n] at 360 Hz, after ``filters.condition``.
        peaks: int[N], R peaks of all beats, as samples.
        labels: int[N], index into ``options.classes``, -1 for a beat that is not wanted.
        options: window, decimation, RR inputs.
    """
    windows, fits = cut_windows(signal, peaks, options.half_window, options.decimate)
    if not len(windows):
        raise BoflError("no beat window fits into the record: use a smaller data.half_window")
    times = peaks / FS
    wanted = labels >= 0
    return RecordBeats(
        x=scale_windows(windows)[wanted[fits]],
        features=rr_features(times, options.causal)[fits & wanted],
        y=labels[fits & wanted].astype(np.int32),
        time=times[fits & wanted],
    )


def join_records(records: list[RecordBeats], subjects: tuple[str, ...], options: EcgOptions) -> Samples:
    """One pool of samples from the records of all subjects, in their order."""
    return Samples(
        x=np.concatenate([record.x for record in records])[:, :, None],
        features=np.concatenate([record.features for record in records]),
        y=np.concatenate([record.y for record in records]),
        subject=np.repeat(np.arange(len(records), dtype=np.int32), [len(record.y) for record in records]),
        time=np.concatenate([record.time for record in records]),
        classes=options.classes,
        subjects=subjects,
        fs=FS / options.decimate,
    )
