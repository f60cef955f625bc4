"""The data type that all rooms share: labelled windows of recordings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from bofl_jax.core.errors import BoflError

Task = Literal["multiclass", "binary", "multilabel", "survival"]

PER_SAMPLE = ("x", "features", "y", "subject", "time", "mask", "delta", "label_time")
"""Fields of ``Samples`` whose first axis counts the samples."""


@dataclass(frozen=True)
class Samples:
    """N labelled windows, each cut from the recording of one subject.

    Fields with the default None are optional; None means that the source does not have them.

    Attributes:
        x: float32[N, T, L], the signal windows (T time samples, L channels).
        features: float32[N, F], further inputs of a window (RR intervals); F may be 0.
        y: int32[N], class index into ``classes``.
        subject: int32[N], index into ``subjects``.
        time: float64[N], seconds from the start of the subject's recording.
        classes: the K class names, in the order of the model's outputs.
        subjects: the names of the S subjects, each the source of one recording (record names for MIT-BIH).
        fs: sampling rate of ``x`` in Hz.
        mask: bool[N, T, L], true where a value of ``x`` was observed; None if all values were.
        delta: float32[N, T, L], hours since the channel was last observed.
        person: the name of the person behind each of the S subjects; None if every subject is a person of their own.
        site: the name of the hospital or device where each of the S subjects was recorded.
        channels: the names of the L channels.
        units: the units of the L channels.
        task: what is predicted.
        label_time: float64[N], seconds from the start of the recording to the event that the label describes.

    Raises:
        BoflError: if shapes do not fit together, a value is not finite, or a label or subject is out of range.
    """

    x: np.ndarray
    features: np.ndarray
    y: np.ndarray
    subject: np.ndarray
    time: np.ndarray
    classes: tuple[str, ...]
    subjects: tuple[str, ...]
    fs: float
    mask: np.ndarray | None = None
    delta: np.ndarray | None = None
    person: tuple[str, ...] | None = None
    site: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    units: tuple[str, ...] | None = None
    task: Task = "multiclass"
    label_time: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check that the fields fit together."""
        if self.x.ndim != 3 or self.features.ndim != 2:
            raise BoflError(
                f"samples need x[N,T,L] and features[N,F], not shapes {self.x.shape} and {self.features.shape}"
            )
        lengths = {name: len(getattr(self, name)) for name in PER_SAMPLE if getattr(self, name) is not None}
        if len(set(lengths.values())) != 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise BoflError(f"sample arrays have different lengths ({listed}): give one entry per sample in each")
        if not len(self.y):
            raise BoflError("there is not a single sample: check the records, the classes and the window options")
        for name in ("x", "features", "time", "delta", "label_time"):
            _check_finite(name, getattr(self, name))
        _check_range("y", self.y, len(self.classes), "classes")
        _check_range("subject", self.subject, len(self.subjects), "subjects")
        self._check_optional_fields()

    def __len__(self) -> int:
        """N."""
        return len(self.y)

    @property
    def persons(self) -> tuple[str, ...]:
        """The name of the person behind each of the S subjects; two recordings of one person have the same name."""
        return self.subjects if self.person is None else self.person

    def class_counts(self) -> np.ndarray:
        """int64[K]: the number of samples of each class."""
        return np.bincount(self.y, minlength=len(self.classes))

    def _check_optional_fields(self) -> None:
        subjects, channels = len(self.subjects), self.x.shape[2]
        for name, count, what in (
            ("person", subjects, "subject"),
            ("site", subjects, "subject"),
            ("channels", channels, "channel"),
            ("units", channels, "channel"),
        ):
            names = getattr(self, name)
            if names is not None and len(names) != count:
                raise BoflError(f"{name} has {len(names)} names for {count} {what}s: give one name per {what}")
        for name, shape in (("mask", self.x.shape), ("delta", self.x.shape), ("label_time", self.y.shape)):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise BoflError(f"{name} has shape {array.shape}, and x has shape {self.x.shape}: use shape {shape}")
        if self.mask is not None and self.mask.dtype != bool:
            raise BoflError(f"mask holds {self.mask.dtype}: use true where a value was observed, false elsewhere")
        if self.delta is not None and self.delta.min(initial=0) < 0:
            raise BoflError("delta holds a negative number of hours: count from the latest observation before")
        if self.task not in get_args(Task):
            raise BoflError(f"task = {self.task!r} is unknown: choose one of {', '.join(get_args(Task))}")


def fully_observed(
    pool: Samples, x: np.ndarray, features: np.ndarray, y: np.ndarray, subject: np.ndarray, time: np.ndarray
) -> Samples:
    """Other samples of the subjects and classes of a pool, all of whose values count as observed.

    Args:
        pool: says which optional fields there are.
        x: float32[M, T, L].
        features: float32[M, F].
        y: int32[M].
        subject: int32[M], index into the pool's subjects.
        time: float64[M], in seconds; the time of the label as well.
    """
    return replace(
        pool,
        x=x,
        features=features,
        y=y,
        subject=subject,
        time=time,
        mask=None if pool.mask is None else np.ones(x.shape, bool),
        delta=None if pool.delta is None else np.zeros(x.shape, np.float32),
        label_time=None if pool.label_time is None else time,
    )


def concatenate(parts: Sequence[Samples]) -> Samples:
    """Join samples of the same subjects and classes into one pool, part after part.

    Args:
        parts: pools that differ in their samples only, at least one. Names and the sampling rate are the first one's.
    """
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in PER_SAMPLE
        if getattr(parts[0], name) is not None
    }
    return replace(parts[0], **joined)


def _check_finite(name: str, values: np.ndarray | None) -> None:
    if values is None or np.isfinite(values).all():
        return
    row = int(np.argwhere(~np.isfinite(values))[0][0])
    raise BoflError(f"{name} holds a NaN or infinite value at sample {row}: drop or repair that sample")


def _check_range(name: str, values: np.ndarray, count: int, table: str) -> None:
    if values.min() < 0 or values.max() >= count:
        bad = int(values.min()) if values.min() < 0 else int(values.max())
        raise BoflError(f"{name} holds {bad}, but there are only {count} {table}: use 0..{count - 1}")
