"""Reading JSON and TOML that somebody else may have written.

py-evm lifts Python's recursion limit, beyond which a deeply nested text would end the process: so the brackets are
counted first.
"""

import json
import tomllib
from typing import Any

import numpy as np

DEPTH = 100


def parse_json(text: str) -> Any:
    """What a JSON text holds. Raises ValueError where it is none, or nested too deeply."""
    _refuse_depth(text)
    return json.loads(text)


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text holds. Raises ValueError where it is none, or nested too deeply.

    >>> parse_toml("a = " + "[" * 200_000)
    Traceback (most recent call last):
    ...
    ValueError: it is nested more than 100 deep
    """
    _refuse_depth(text)
    return tomllib.loads(text)


def _refuse_depth(text: str) -> None:
    """Brackets within strings count too; what a run writes has none that would come near."""
    characters = np.frombuffer(text.encode(), np.uint8)
    steps = np.isin(characters, (ord("["), ord("{"))).astype(np.int64) - np.isin(characters, (ord("]"), ord("}")))
    if np.cumsum(steps).max(initial=0) > DEPTH:
        raise ValueError(f"it is nested more than {DEPTH} deep")
