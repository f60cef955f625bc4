"""Grids: axes (a key and its values) become members of a sweep."""

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from bofl_jax.core.errors import BoflError
from bofl_jax.core.parsing import parse_toml


class Axis(NamedTuple):
    """One dotted key of the configuration and the values that it takes."""

    key: str
    values: tuple[Any, ...]


class Member(NamedTuple):
    """One run of a sweep."""

    name: str  # of its run directory; unique within the grid
    point: dict[str, Any]  # dotted key -> value


def parse_axis(text: str) -> Axis:
    """Parse ``KEY=V1,V2,...`` of the command line. The values are TOML, or strings without quotes.

    >>> parse_axis("partition.alpha=0.1,1,10").values, parse_axis("federation.algorithm=fedavg,ditto").values
    ((0.1, 1, 10), ('fedavg', 'ditto'))
    """
    key, sign, values_text = text.partition("=")
    if not sign or not values_text or not re.fullmatch(r"[A-Za-z0-9_.]+", key):
        raise BoflError(f"--grid {text}: write it as KEY=V1,V2, for example partition.alpha=0.1,1,10")
    values = _parse_values(values_text)
    if "" in values:
        raise BoflError(f"--grid {text}: a value is empty, remove the superfluous comma")
    repeated = [value for index, value in enumerate(values) if value in values[:index]]
    if repeated:
        raise BoflError(f"--grid {text}: {repeated[0]} is given twice, remove one of them")
    return Axis(key, tuple(values))


def _parse_values(text: str) -> list[Any]:
    try:
        parsed = parse_toml(f"values = [{text}]")
    except ValueError:
        return [word.strip() for word in text.split(",")]
    values: list[Any] = parsed["values"] if len(parsed) == 1 else text.split(",")
    return values


def expand_grid(axes: Sequence[Axis]) -> list[Member]:
    """All combinations of the axes' values. The last axis changes fastest.

    Raises:
        BoflError: if there is no axis, or if two axes have the same key.

    >>> [member.name for member in expand_grid([Axis("partition.alpha", (0.1, 1)), Axis("seed", (0,))])]
    ['alpha=0.1,seed=0', 'alpha=1,seed=0']
    """
    if not axes:
        raise BoflError("a sweep needs a grid: add --grid KEY=V1,V2, for example --grid seed=0,1,2")
    keys = [axis.key for axis in axes]
    repeated = [key for index, key in enumerate(keys) if key in keys[:index]]
    if repeated:
        raise BoflError(f"--grid {repeated[0]} is given twice: write all its values in one --grid")
    points = [dict(zip(keys, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]
    last_words = [key.rpartition(".")[2] for key in keys]
    labels = [word if last_words.count(word) == 1 else key for key, word in zip(keys, last_words, strict=True)]
    names = [",".join(map(_label, labels, point.values())) for point in points]
    return [
        Member(name if names.count(name) == 1 else f"{name},{index}", point)
        for index, (name, point) in enumerate(zip(names, points, strict=True))
    ]


def _label(label: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{label}={re.sub(r'[^A-Za-z0-9.+-]+', '-', text).strip('-')}"


def select_shard(members: Sequence[Member], shard: str) -> list[Member]:
    """The members of one machine, when N machines share a grid.

    Args:
        members: all members of the grid.
        shard: ``I/N``, with I from 1 to N.

    Raises:
        BoflError: if ``shard`` has another form.

    >>> [member.name for member in select_shard([Member("a", {}), Member("b", {}), Member("c", {})], "2/2")]
    ['b']
    """
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise BoflError(f"--shard {shard}: write it as I/N with I from 1 to N, for example 1/4")
    return list(members[number - 1 :: count])
