"""The one data type that every room shares: labelled windows of recordings."""

from dataclasses import dataclass

import numpy as np

from bofl_jax.core.errors import BoflError


@dataclass(frozen=True)
class Samples:
    """N labelled windows, each cut from the recording of one subject.

    Attributes:
        x: float32[N, T, L], the signal windows (T time samples, L leads).
        features: float32[N, F], further inputs of a window (RR intervals); F may be 0.
        y: int32[N], class index into ``classes``.
        subject: int32[N], index into ``subjects``.
        time: float64[N], seconds from the start of the subject's recording.
        classes: the K class names, in the order of the model's outputs.
        subjects: the names of the subjects (record names for MIT-BIH).
        fs: sampling rate of ``x`` in Hz.

    Raises:
        BoflError: if lengths differ, a value is not finite, or a label or subject is out of range.
    """

    x: np.ndarray
    features: np.ndarray
    y: np.ndarray
    subject: np.ndarray
    time: np.ndarray
    classes: tuple[str, ...]
    subjects: tuple[str, ...]
    fs: float

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.features.ndim != 2:
            raise BoflError(
                f"samples need x[N,T,L] and features[N,F], not shapes {self.x.shape} and {self.features.shape}"
            )
        lengths = {name: len(getattr(self, name)) for name in ("x", "features", "y", "subject", "time")}
        if len(set(lengths.values())) != 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise BoflError(f"sample arrays have different lengths ({listed}): give one entry per sample in each")
        if not len(self.y):
            raise BoflError("there is not a single sample: check the records, the classes and the window options")
        for name in ("x", "features", "time"):
            finite = np.isfinite(getattr(self, name))
            if not finite.all():
                row = int(np.argwhere(~finite)[0][0])
                raise BoflError(f"{name} holds a NaN or infinite value at sample {row}: drop or repair that sample")
        _check_range("y", self.y, len(self.classes), "classes")
        _check_range("subject", self.subject, len(self.subjects), "subjects")

    def __len__(self) -> int:
        return len(self.y)

    def class_counts(self) -> np.ndarray:
        """int64[K]: how many samples each class has."""
        return np.bincount(self.y, minlength=len(self.classes))


def _check_range(name: str, values: np.ndarray, count: int, table: str) -> None:
    if values.min() < 0 or values.max() >= count:
        bad = int(values.min()) if values.min() < 0 else int(values.max())
        raise BoflError(f"{name} holds {bad}, but there are only {count} {table}: use 0..{count - 1}")
