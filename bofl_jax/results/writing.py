"""Write one file whole or not at all: what is there under its name is either the old file or the new one.

Text is UTF-8 with LF, whatever the locale; CSV has CRLF at the end of a line (RFC 4180).
"""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """The text of a JSON file, to the byte."""
    return json.dumps(value, indent=1) + "\n"


def write_json_lines(path: Path, values: Sequence[Any]) -> None:
    """Write a file with a line of JSON for each value."""
    write_text(path, "".join(map(json_line, values)))


def json_line(value: Any) -> str:
    """One line of a file of JSON lines, to the byte."""
    return json.dumps(value) + "\n"


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file; a row that lacks a column has an empty field there."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a compressed ``.npz`` file."""
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, allow_pickle=False, **arrays)
    os.replace(partial, path)


def check_unused(path: Path, resumable: bool) -> None:
    """Check that a folder can take the results of a new run or sweep.

    Args:
        path: the folder, which need not exist.
        resumable: whether it holds results that ``--resume`` could continue.

    Raises:
        BoflError: if ``path`` is a file, or a folder that holds anything.
    """
    if path.exists() and not path.is_dir():
        raise BoflError(f"{path} is a file: name another --out")
    if path.exists() and any(path.iterdir()):
        fix = "name another --out" + (", or go on with it by --resume" if resumable else "")
        raise BoflError(f"{path} is not empty: {fix}")
