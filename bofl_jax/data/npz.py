"""Anyone's own windows, in one ``.npz`` file.

Keys: ``x[N, T]`` or ``x[N, T, L]``; ``y[N]``, integers or names; ``subject[N]``, integers or names; and, if wanted,
``features[N, F]`` (or ``[N]``), ``time[N]`` in s, ``classes[K]`` (names, in the order of the labels) and ``fs`` in Hz.

Names in ``y`` are looked up in ``classes``, or numbered in sorted order without it; integers in ``y`` are indices into
``classes``, or number the classes ``0..max`` without it. Without ``time`` a subject's windows count as 1 s apart, in
the order of the file; without ``fs`` the rate is 1 Hz.
"""

import zipfile
from pathlib import Path

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.data.options import NpzOptions

REQUIRED = ("x", "y", "subject")
OPTIONAL = ("features", "time", "classes", "fs")
Arrays = dict[str, np.ndarray]


def load_npz(options: NpzOptions) -> Samples:
    """The samples of the file ``options.root``.

    Raises:
        BoflError: if it is no ``.npz`` file, lacks a key, or holds arrays that do not fit together.
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
    _check_keys(arrays)
    x = _numbers(arrays["x"], "x", np.float32)
    x = x[:, :, None] if x.ndim == 2 else x
    subject, subjects = _subjects(arrays["subject"])
    y, classes = _labels(arrays["y"], arrays.get("classes"))
    features = _numbers(arrays.get("features", np.zeros((len(x), 0))), "features", np.float32)
    return Samples(
        x=x,
        features=features[:, None] if features.ndim == 1 else features,
        y=y,
        subject=subject,
        time=_numbers(arrays["time"], "time", np.float64) if "time" in arrays else _running_index(subject),
        classes=classes,
        subjects=subjects,
        fs=_rate(arrays.get("fs", np.array(1.0))),
    )


def _check_keys(arrays: Arrays) -> None:
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise BoflError(f"no array {missing[0]!r} among {', '.join(sorted(arrays)) or 'none'}: save it with that name")
    unknown = [name for name in arrays if name not in REQUIRED + OPTIONAL]
    if unknown:
        known = ", ".join(REQUIRED + OPTIONAL)
        raise BoflError(f"array {unknown[0]!r} would be ignored: leave it out or rename it (known: {known})")
    for name in ("y", "subject", "time"):
        if name in arrays and arrays[name].ndim != 1:
            raise BoflError(f"{name} has shape {arrays[name].shape}: give one value per sample")


def _numbers(values: np.ndarray, name: str, dtype: type) -> np.ndarray:
    if values.dtype.kind not in "fiub":
        raise BoflError(f"{name} holds {values.dtype} instead of numbers: save it as a numeric array")
    if name != "time" and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise BoflError(f"{name} holds a NaN or infinite value at sample {row}: drop or repair that sample")
    with np.errstate(over="ignore"):  # a value beyond float32 becomes infinite and is refused by Samples
        return values.astype(dtype)


def _subjects(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    if values.dtype.kind not in "iuUS":
        raise BoflError(f"subject holds {values.dtype}: use integers or names")
    names, index = np.unique(values, return_inverse=True)
    return index.astype(np.int32), tuple(_text(names))


def _labels(values: np.ndarray, classes: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if values.dtype.kind in "US":
        return _named_labels(np.array(_text(values)), classes)
    if values.dtype.kind not in "iu":
        raise BoflError(f"y holds {values.dtype}: use integer class indices or class names")
    if classes is not None:
        names = tuple(_text(classes))
    else:
        names = tuple(str(index) for index in range(int(values.max(initial=-1)) + 1))
    if values.size and not 0 <= values.min() <= values.max() < len(names):
        bad = int(values.min()) if values.min() < 0 else int(values.max())
        raise BoflError(f"y holds {bad}, but there are only {len(names)} classes: use 0..{len(names) - 1}")
    return values.astype(np.int32), names


def _named_labels(values: np.ndarray, classes: np.ndarray | None) -> tuple[np.ndarray, tuple[str, ...]]:
    names = _text(np.unique(values) if classes is None else classes)
    unknown = sorted(set(values.tolist()) - set(names))
    if unknown:
        raise BoflError(f"y holds {unknown[0]!r}, which is not in classes ({', '.join(names)}): add it there")
    index = {name: number for number, name in enumerate(names)}
    return np.array([index[value] for value in values.tolist()], np.int32), tuple(names)


def _text(values: np.ndarray) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in np.atleast_1d(values).tolist()]


def _running_index(subject: np.ndarray) -> np.ndarray:
    """float64[N]: the position of each sample among those of its subject."""
    time = np.zeros(len(subject))
    for index in np.unique(subject):
        mine = subject == index
        time[mine] = np.arange(mine.sum())
    return time


def _rate(value: np.ndarray) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu" or not 0 < value.item() < np.inf:
        raise BoflError("fs is not one positive number: give the sampling rate of x in Hz")
    return float(value.item())
