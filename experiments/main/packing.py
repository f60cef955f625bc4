"""All pieces of a study in one small file, and back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pieces import Arrays, read
from plan import Study

import bofl_jax as bofl

_ALWAYS = ("names", "clients", "sizes", "seconds", "machine", "synthetic")


def needed(study: Study, pair: tuple[str, str], piece: Mapping[str, Any]) -> dict[str, Any]:
    """What a study's table is made from, of a piece's arrays."""
    kinds = {"confusion"}
    kinds |= {"points"} if any(name.startswith("recall_at_spec95") for name in study.metrics) else set()
    kinds |= {"gaps"} if "ece" in study.metrics else set()
    kinds |= {"hits"} if {"jain", "worst_10_percent"} & set(study.metrics) else set()
    models = {row.model for row in study.rows + study.more if (row.protocol, row.arm) == pair}
    ablated = any(row.factors for row in study.rows)
    wanted = {f"{model}_{kind}" for model in models for kind in kinds | ({"digest"} if ablated else set())}
    curves = {row.model for row in study.curves if (row.protocol, row.arm) == pair}
    wanted |= {f"{model}_{kind}" for model in curves for kind in ("rounds", "by_round")}
    missing = wanted - piece.keys()
    if missing:
        raise bofl.BoflError(
            f"the pieces of {'-'.join(pair)} lack {sorted(missing)[0]}: remove them and run run.py again"
        )
    return {name: piece[name] for name in (*_ALWAYS, *sorted(wanted))}


def packed(pieces: Mapping[tuple[str, str], Mapping[str, Any]], seeds: Sequence[int]) -> Arrays:
    """One dictionary of arrays: a piece's name and an array's, joined by a slash, and the seeds."""
    found: Arrays = {"seeds": np.array(seeds, np.int32)}
    for (protocol, arm), piece in pieces.items():
        found |= {f"{protocol}-{arm}/{name}": as_one(value) for name, value in piece.items()}
    return found


def as_one(value: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """The arrays of all seeds as one; where clients differ from seed to seed, with zeros added."""
    if isinstance(value, np.ndarray):
        return value
    widest = max(map(len, value))
    return np.stack([np.pad(one, (0, widest - len(one))) for one in value])


class Packed:
    """The pieces of a study from its one file."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise bofl.BoflError(f"{path} is missing: name the folder of the pieces with --work")
        self._arrays = read(path)

    def seeds(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """The seeds, if every protocol and arm is there."""
        there = all(f"{protocol}-{arm}/names" in self._arrays for protocol, arm in pairs)
        return self._arrays["seeds"].tolist() if there else []

    def stacked(self, protocol: str, arm: str, seeds: Sequence[int]) -> dict[str, Any]:
        """name -> the arrays of all seeds, [S, ...]."""
        del seeds  # all of them
        begin = f"{protocol}-{arm}/"
        return {name.removeprefix(begin): a for name, a in self._arrays.items() if name.startswith(begin)}
