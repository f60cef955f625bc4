"""Reading one file, or refusing it in one line that names it and says how to mend it."""

import csv
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bofl_jax.core.errors import BoflError

T = TypeVar("T")

RUN_MEND = "continue the run with --resume, or run it again into a new folder"
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, zipfile.BadZipFile, zlib.error)


def read(path: Path, parse: Callable[[Path], T], mend: str) -> T:
    """What ``parse`` makes of a file.

    Raises:
        BoflError: the file is missing, cannot be read, or is not what ``parse`` expects; ends in ``mend``.
    """
    try:
        return parse(path)
    except FileNotFoundError:
        raise BoflError(f"{path} is missing, so the {_whole(path)} is not complete: {mend}") from None
    except OSError as error:
        raise BoflError(f"{path} cannot be read ({error.strerror}): make it a readable file") from error
    except _DAMAGE as error:
        detail = " ".join(str(error).split())
        raise BoflError(f"{path} is damaged ({type(error).__name__}: {detail}): {mend}") from error


def _whole(path: Path) -> str:
    return {"sweep.csv": "sweep", "results.json": "study", "peers.json": "comparison"}.get(path.name, "run")


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file; none of them may hold Python objects."""
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def column(rows: Sequence[Mapping[str, Any]], name: str, required: bool = False) -> np.ndarray:
    """float64[rows]: a field of every row; NaN where it is empty or null, or absent and not required."""
    values = [row[name] if required else row.get(name) for row in rows]
    return np.array([np.nan if value in (None, "") else float(value) for value in values], np.float64)


def check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless an array has a shape."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, not {shape}")


def check_labels(label: np.ndarray, classes: Sequence[str]) -> None:
    """Raises ValueError if a label is not one of the classes' numbers."""
    if label.size and not (label.min() >= 0 and label.max() < len(classes)):
        raise ValueError(f"a label is outside of the {len(classes)} classes")
