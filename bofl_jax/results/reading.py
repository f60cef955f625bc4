"""Read one result file, or report in one line which file is missing or damaged and how to fix it."""

import csv
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.parsing import parse_json
from bofl_jax.results.records import ArrayType, MissingKeyError, RecordError, check_arrays

T = TypeVar("T")

FIX_RUN = "restore it from a copy, continue the run with --resume, or run it again into a new folder"
_DAMAGE = (ValueError, TypeError, AttributeError, IndexError, EOFError, zipfile.BadZipFile, zlib.error)
_WHOLE = {"sweep.csv": "sweep", "results.json": "study", "peers.json": "comparison"}


def read_file(path: Path, parse: Callable[[Path], T], how_to_fix: str = FIX_RUN) -> T:
    """Read a file with ``parse``.

    Args:
        path: the file.
        parse: reads and checks the file; any of the usual errors means that the file is damaged.
        how_to_fix: the end of the error's line.

    Raises:
        BoflError: one line, if the file is missing, cannot be read, or is not what ``parse`` expects.
    """
    try:
        return parse(path)
    except FileNotFoundError:
        whole = _WHOLE.get(path.name, "run")
        raise BoflError(f"{path} is missing, so the {whole} is not complete: {how_to_fix}") from None
    except OSError as error:
        raise BoflError(f"{path} cannot be read ({error.strerror}): make it a readable file") from error
    except (MissingKeyError, KeyError) as error:
        raise BoflError(
            f"{path} is damaged or of another version of bofl_jax ({error.args[0]} is missing): {how_to_fix}"
        ) from error
    except _DAMAGE as error:
        raise BoflError(f"{path} is damaged ({_detail(error)}): {how_to_fix}") from error


def _detail(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, RecordError) else f"{type(error).__name__}: {text}"


def load_json(path: Path) -> Any:
    """The value of a JSON file. Raises ValueError where the text is no JSON."""
    return parse_json(path.read_text(encoding="utf-8"))


def load_json_lines(path: Path) -> list[Any]:
    """The value of each line of a file. Raises ValueError where a line is no JSON."""
    return [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


def load_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, by column. Raises ValueError where a row has more or fewer fields than the header."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise ValueError(f"row {number} has another number of fields than the header")
    return rows


def load_arrays(path: Path, schema: Mapping[str, ArrayType]) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file; none of them may hold Python objects.

    Args:
        path: the file.
        schema: the types of its arrays.

    Raises:
        ValueError: where the file does not fit the schema.
    """
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    check_arrays(arrays, schema)
    return arrays


def number_column(rows: Sequence[Mapping[str, Any]], name: str, required: bool = False) -> np.ndarray:
    """One field of every row as numbers.

    Args:
        rows: the rows of a table.
        name: the field.
        required: whether every row must have the field.

    Returns:
        float64[rows]; NaN where the field is empty, null or absent.
    """
    values = [row[name] if required else row.get(name) for row in rows]
    return np.array([np.nan if value in (None, "") else float(value) for value in values], np.float64)


def check_labels(label: np.ndarray, classes: Sequence[str]) -> None:
    """Raise ValueError if a label is not the index of one of the classes."""
    if label.size and not (label.min() >= 0 and label.max() < len(classes)):
        raise ValueError(f"a label is outside of the {len(classes)} classes")
