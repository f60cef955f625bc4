"""Parsing of JSON and TOML from untrusted files.

py-evm raises Python's recursion limit, so that a deeply nested text could crash the process. Therefore the depth of
nesting is checked before parsing.
"""

import json
import tomllib
from typing import Any

import numpy as np

MAX_DEPTH = 100


def parse_json(text: str) -> Any:
    """Parse JSON; raises a ValueError for invalid JSON or too deep nesting."""
    _check_depth(text)
    return json.loads(text)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML; raises a ValueError for invalid TOML or too deep nesting.

    >>> parse_toml("a = " + "[" * 200_000)
    Traceback (most recent call last):
    ...
    ValueError: it is nested more than 100 deep
    """
    _check_depth(text)
    return tomllib.loads(text)


def _check_depth(text: str) -> None:
    """Count brackets, including those in strings; files that a run writes stay far below the limit."""
    characters = np.frombuffer(text.encode(), np.uint8)
    steps = np.isin(characters, (ord("["), ord("{"))).astype(np.int64) - np.isin(characters, (ord("]"), ord("}")))
    if np.cumsum(steps).max(initial=0) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
