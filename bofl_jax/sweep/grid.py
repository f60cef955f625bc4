"""From axes (a key and its values) to members."""

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from bofl_jax.core.errors import BoflError
from bofl_jax.core.parsing import parse_toml


class Axis(NamedTuple):
    """One dotted key and the values that it takes."""

    key: str
    values: tuple[Any, ...]


class Member(NamedTuple):
    """One run of a grid.

    Attributes:
        name: of its run directory; unique within the grid.
        point: dotted key -> value, what sets it apart.
    """

    name: str
    point: dict[str, Any]


def parse_axis(text: str) -> Axis:
    """Parse one ``KEY=V1,V2,...`` of the command line; the values are TOML, or bare strings.

    >>> parse_axis("partition.alpha=0.1,1,10").values, parse_axis("federation.algorithm=fedavg,ditto").values
    ((0.1, 1, 10), ('fedavg', 'ditto'))
    """
    key, sign, written = text.partition("=")
    if not sign or not written or not re.fullmatch(r"[A-Za-z0-9_.]+", key):
        raise BoflError(f"--grid {text}: write it as KEY=V1,V2, for example partition.alpha=0.1,1,10")
    try:
        parsed = parse_toml(f"values = [{written}]")
        values = parsed["values"] if len(parsed) == 1 else written.split(",")
    except ValueError:
        values = [word.strip() for word in written.split(",")]
    if "" in values:
        raise BoflError(f"--grid {text}: a value is empty, leave out the comma that is too many")
    repeated = [value for index, value in enumerate(values) if value in values[:index]]
    if repeated:
        raise BoflError(f"--grid {text}: {repeated[0]} stands there twice, leave one out")
    return Axis(key, tuple(values))


def members(axes: Sequence[Axis]) -> list[Member]:
    """All combinations, the last axis fastest.

    Raises:
        BoflError: if there is no axis, or two of one key.

    >>> [member.name for member in members([Axis("partition.alpha", (0.1, 1)), Axis("seed", (0,))])]
    ['alpha=0.1,seed=0', 'alpha=1,seed=0']
    """
    if not axes:
        raise BoflError("a sweep needs a grid: add --grid KEY=V1,V2, for example --grid seed=0,1,2")
    keys = [axis.key for axis in axes]
    repeated = [key for index, key in enumerate(keys) if key in keys[:index]]
    if repeated:
        raise BoflError(f"--grid {repeated[0]} is given twice: write all its values after one")
    points = [dict(zip(keys, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]
    short = [key.rpartition(".")[2] for key in keys]
    labels = [last if short.count(last) == 1 else key for key, last in zip(keys, short, strict=True)]
    names = [",".join(map(_label, labels, point.values())) for point in points]
    return [
        Member(name if names.count(name) == 1 else f"{name},{index}", point)
        for index, (name, point) in enumerate(zip(names, points, strict=True))
    ]


def _label(label: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{label}={re.sub(r'[^A-Za-z0-9.+-]+', '-', text).strip('-')}"


def share(everyone: Sequence[Member], text: str) -> list[Member]:
    """The part ``I/N`` of a grid that is spread over N machines, I from 1.

    >>> [member.name for member in share([Member("a", {}), Member("b", {}), Member("c", {})], "2/2")]
    ['b']
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise BoflError(f"--shard {text}: write it as I/N with I from 1 to N, for example 1/4")
    return list(everyone[number - 1 :: count])
