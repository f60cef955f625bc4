"""Types of the values in result files, and their check when a file is read.

The schema of a JSON file is a `TypedDict`; the schema of an ``.npz`` file is a table of `ArrayType`. Values that the
run's chain vouches for in another way than their file as a whole are annotated with an `Evidence`.
"""

import enum
import functools
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Evidence(enum.Enum):
    """How the audit of a run verifies a value of a result file."""

    CHAIN = "compared with the chain"
    DIGEST = "part of the results digest, which the chain holds"
    DERIVED = "computed again from verified values"
    NONE = "not verified"


class RecordError(ValueError):
    """A value of a result file has another type than the schema says."""


class MissingKeyError(ValueError):
    """A result file lacks a key, as files of another version of the package do."""


class ArrayType(NamedTuple):
    """One array of an ``.npz`` file."""

    dtype: str  # as it is written; when a file is read, only the kind of number is compared
    axes: str  # a letter for each axis; the same letter has the same size in all arrays of a file
    required: bool = True


def check_record(value: Any, kind: type[T], *, partial: bool = False, name: str = "") -> T:
    """Check the type of a JSON value; unknown keys of a table are accepted.

    Args:
        value: from a JSON text.
        kind: a `TypedDict`, ``dict[str, T]``, ``list[T]``, ``T | None``, a simple type or ``Any``.
        partial: whether keys may be missing or null, as in files of older versions.
        name: dotted name of the value within its file.

    Returns:
        The same value.

    Raises:
        RecordError: if the value, or a value in it, has another type.
        MissingKeyError: if a required key is missing.

    >>> check_record({"gas": "1"}, dict[str, int])
    Traceback (most recent call last):
    ...
    bofl_jax.results.records.RecordError: gas is '1', not int
    """
    _check(value, kind, partial, name)
    return typing.cast(T, value)


def _check(value: Any, kind: Any, partial: bool, name: str) -> None:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or (value is None and partial):
        return
    if origin in (types.UnionType, typing.Union):
        if value is not None or types.NoneType not in inner:
            (present,) = (one for one in inner if one is not types.NoneType)
            _check(value, present, partial, name)
    elif typing.is_typeddict(kind):
        _check_table(value, kind, partial, name)
    elif origin is dict:
        for key, entry in _insist(value, dict, name).items():
            _check(entry, inner[1], partial, _dotted(name, key))
    elif origin is list:
        for place, entry in enumerate(_insist(value, list, name)):
            _check(entry, inner[0], partial, _dotted(name, str(place)))
    else:
        _insist(value, kind, name)


def _check_table(value: Any, kind: Any, partial: bool, name: str) -> None:
    table = _insist(value, dict, name)
    for key, inner in _key_types(kind).items():
        if key in table:
            _check(table[key], inner, partial, _dotted(name, key))
        elif key in kind.__required_keys__ and not partial:
            raise MissingKeyError(_dotted(name, key))


@functools.cache
def _key_types(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@functools.cache
def unverified_keys(kind: Any) -> frozenset[str]:
    """The keys of a `TypedDict` that are annotated with `Evidence.NONE`."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return frozenset(key for key, hint in hints.items() if Evidence.NONE in _metadata(hint))


def _metadata(hint: Any) -> tuple[Any, ...]:
    while typing.get_origin(hint) in (typing.NotRequired, typing.Required):
        (hint,) = typing.get_args(hint)
    return getattr(hint, "__metadata__", ())


def _insist(value: Any, kind: Any, name: str) -> Any:
    """The value, if it is of a simple type; a whole number is a number, true and false are none."""
    wanted = (int, float) if kind is float else kind
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise RecordError(f"{name or 'it'} is {_shortened(repr(value))}, not {kind.__name__}")
    return value


def _shortened(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[:most] + "..."


def _dotted(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def require_keys(table: Mapping[str, Any], *keys: str) -> None:
    """Check that keys, which are dotted names, are in nested tables.

    Raises:
        MissingKeyError: if one is not.
    """
    for key in keys:
        inner: Any = table
        for part in key.split("."):
            if not isinstance(inner, Mapping) or part not in inner:
                raise MissingKeyError(key)
            inner = inner[part]


def check_arrays(arrays: Mapping[str, np.ndarray], schema: Mapping[str, ArrayType]) -> None:
    """Check the arrays of an ``.npz`` file; unknown arrays are accepted.

    Args:
        arrays: the arrays by name.
        schema: their types by name.

    Raises:
        RecordError: if an array has another kind of numbers, or a shape that does not fit the others.
        MissingKeyError: if a required array is missing.

    >>> check_arrays({"label": np.zeros(3, np.int32)}, {"label": ArrayType("int32", "NK")})
    Traceback (most recent call last):
    ...
    bofl_jax.results.records.RecordError: label has shape (3,), not [N, K]
    """
    sizes: dict[str, int] = {}
    for name, kind in schema.items():
        if name in arrays:
            _check_array(name, arrays[name], kind, sizes)
        elif kind.required:
            raise MissingKeyError(name)


def _check_array(name: str, array: np.ndarray, kind: ArrayType, sizes: dict[str, int]) -> None:
    if array.dtype.kind != np.dtype(kind.dtype).kind:
        raise RecordError(f"{name} holds {array.dtype}, not {kind.dtype}")
    known = {letter: sizes[letter] for letter in kind.axes if letter in sizes}
    if array.ndim == len(kind.axes):
        sizes |= {letter: size for letter, size in zip(kind.axes, array.shape, strict=True) if letter not in known}
    if array.shape != tuple(sizes.get(letter) for letter in kind.axes):
        where = ", ".join(f"{letter} = {size}" for letter, size in known.items())
        raise RecordError(
            f"{name} has shape {array.shape}, not [{', '.join(kind.axes)}]" + (f" with {where}" if where else "")
        )


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested tables under dotted names.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    values: dict[str, Any] = {}
    for name, value in table.items():
        values |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return values


def without(table: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    """A table without some of its keys, in the same order."""
    return {name: value for name, value in table.items() if name not in names}
