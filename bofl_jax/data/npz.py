"""Windows of the user's own, in one ``.npz`` file.

Required arrays: ``x[N, T]`` or ``x[N, T, L]``; ``y[N]``, integers or names; ``subject[N]``, integers or names. Optional
arrays: ``person[N]``, integers or names, where several subjects are recordings of one person; ``features[N, F]`` (or
``[N]``); ``time[N]`` in s; ``classes[K]``, names in the order of the labels; and ``fs`` in Hz.

Names in ``y`` are looked up in ``classes``, or numbered in sorted order without it; integers in ``y`` are indices into
``classes``, or number the classes ``0..max`` without it. Without ``time``, the windows of a subject count as 1 s apart,
in the order of the file; without ``fs``, the rate is 1 Hz.
"""

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.data.registry import SOURCES, Source, SourceOptions

REQUIRED = ("x", "y", "subject")
OPTIONAL = ("person", "features", "time", "classes", "fs")
Arrays = dict[str, np.ndarray]


class NpzOptions(SourceOptions):
    """The user's own arrays in one ``.npz`` file; see ``bofl_jax.data.npz`` for their names."""

    source: Literal["npz"] = "npz"
    root: Path = Field(description="the .npz file")


def _load(options: NpzOptions, _seed: int) -> Samples:
    """Load the samples of the file ``options.root``.

    Raises:
        BoflError: if it is no ``.npz`` file, lacks an array, or holds arrays that do not fit together.
    """
    path = options.root.expanduser()
    arrays = _read(path)
    try:
        return _samples(arrays)
    except BoflError as error:
        raise BoflError(f"{path}: {error}") from error


def _read(path: Path) -> Arrays:
    if not path.is_file():
        raise BoflError(f"no file {path}: set data.root to an .npz file with the arrays {', '.join(REQUIRED)}")
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it holds a single array without a name")
            with archive:
                return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        detail = " ".join(str(error).split())
        raise BoflError(f"{path} is not a readable .npz file ({detail}): write it with numpy.savez") from error


def _samples(arrays: Arrays) -> Samples:
    _check_names(arrays)
    x = _numeric(arrays["x"], "x", np.float32)
    x = x[:, :, None] if x.ndim == 2 else x
    subject, subjects = _indexed(arrays["subject"], "subject")
    y, classes = _labels(arrays["y"], arrays.get("classes"))
    features = _numeric(arrays.get("features", np.zeros((len(x), 0))), "features", np.float32)
    return Samples(
        x=x,
        features=features[:, None] if features.ndim == 1 else features,
        y=y,
        subject=subject,
        time=_numeric(arrays["time"], "time", np.float64) if "time" in arrays else _running_index(subject),
        classes=classes,
        subjects=subjects,
        fs=_rate(arrays.get("fs", np.array(1.0))),
        person=_person_of_subject(arrays["person"], subject, subjects) if "person" in arrays else None,
    )


def _check_names(arrays: Arrays) -> None:
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise BoflError(f"no array {missing[0]!r} among {', '.join(sorted(arrays)) or 'none'}: save it with that name")
    unknown = [name for name in arrays if name not in REQUIRED + OPTIONAL]
    if unknown:
        known = ", ".join(REQUIRED + OPTIONAL)
        raise BoflError(f"array {unknown[0]!r} would be ignored: leave it out or rename it (known: {known})")
    for name in ("y", "subject", "person", "time"):
        if name in arrays and arrays[name].ndim != 1:
            raise BoflError(f"{name} has shape {arrays[name].shape}: give one value per sample")


def _numeric(values: np.ndarray, name: str, dtype: type) -> np.ndarray:
    if values.dtype.kind not in "fiub":
        raise BoflError(f"{name} holds {values.dtype} instead of numbers: save it as a numeric array")
    if name != "time" and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise BoflError(f"{name} holds a NaN or infinite value at sample {row}: drop or repair that sample")
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite, and Samples reports it
        return values.astype(dtype)


def _indexed(values: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """int32[N], indices into the sorted names, and the names."""
    if values.dtype.kind not in "iuUS":
        raise BoflError(f"{name} holds {values.dtype}: use integers or names")
    names, index = np.unique(values, return_inverse=True)
    return index.astype(np.int32), tuple(_strings(names))


def _person_of_subject(values: np.ndarray, subject: np.ndarray, subjects: tuple[str, ...]) -> tuple[str, ...]:
    """The person of each of the S subjects, from the person of each sample."""
    index, names = _indexed(values, "person")
    if len(index) != len(subject):
        raise BoflError(f"person has {len(index)} entries, and subject has {len(subject)}: give one per sample")
    person = []
    for number, name in enumerate(subjects):
        found = [names[one] for one in np.unique(index[subject == number])]
        if len(found) > 1:
            raise BoflError(
                f"subject {name!r} has the persons {found[0]!r} and {found[1]!r}: give each subject one person"
            )
        person += found
    return tuple(person)


def _labels(values: np.ndarray, classes: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if values.dtype.kind in "US":
        return _named_labels(np.array(_strings(values)), classes)
    if values.dtype.kind not in "iu":
        raise BoflError(f"y holds {values.dtype}: use integer class indices or class names")
    if classes is not None:
        names = tuple(_strings(classes))
    else:
        names = tuple(str(index) for index in range(int(values.max(initial=-1)) + 1))
    if values.size and not 0 <= values.min() <= values.max() < len(names):
        bad = int(values.min()) if values.min() < 0 else int(values.max())
        raise BoflError(f"y holds {bad}, but there are only {len(names)} classes: use 0..{len(names) - 1}")
    return values.astype(np.int32), names


def _named_labels(values: np.ndarray, classes: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
    names = _strings(np.unique(values) if classes is None else classes)
    unknown = sorted(set(values.tolist()) - set(names))
    if unknown:
        raise BoflError(f"y holds {unknown[0]!r}, which is not in classes ({', '.join(names)}): add it there")
    index = {name: number for number, name in enumerate(names)}
    return np.array([index[value] for value in values.tolist()], np.int32), tuple(names)


def _strings(values: np.ndarray) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in np.atleast_1d(values).tolist()]


def _running_index(subject: np.ndarray) -> np.ndarray:
    """float64[N]: the position of each sample among those of its subject."""
    time = np.zeros(len(subject))
    for index in np.unique(subject):
        chosen = subject == index
        time[chosen] = np.arange(chosen.sum())
    return time


def _rate(value: np.ndarray) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu" or not 0 < value.item() < np.inf:
        raise BoflError("fs is not one positive number: give the sampling rate of x in Hz")
    return float(value.item())


SOURCES.register(Source(NpzOptions, "your own arrays x, y, subject in one .npz file", load=_load))
