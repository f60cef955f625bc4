"""Types of values in result files: what is accepted, and which line names what is not."""

from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
import pytest

from bofl_jax.results.records import (
    ArrayType,
    Evidence,
    MissingKeyError,
    RecordError,
    check_arrays,
    check_record,
    require_keys,
    unverified_keys,
)


class Inner(TypedDict):
    gas: int
    cpu_ms: NotRequired[Annotated[float, Evidence.NONE]]


class Record(TypedDict):
    loss: Annotated[float, Evidence.NONE]
    inner: Inner
    names: list[str]
    scores: dict[str, float | None]
    note: str | None
    more: NotRequired[dict[str, Any]]


GOOD = {"loss": 1, "inner": {"gas": 2}, "names": ["a"], "scores": {"a": None, "b": 0.5}, "note": None}


@pytest.mark.parametrize("extra", [{}, {"more": {"any": [1, "thing"]}}, {"unknown": object()}])
def test_a_record_of_the_right_types_is_returned_as_it_is(extra):
    value = GOOD | extra
    assert check_record(value, Record) is value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "1"}, "loss is '1', not float"),
        ({"loss": True}, "loss is True, not float"),
        ({"inner": [2]}, "inner is [2], not dict"),
        ({"inner": {"gas": 2.5}}, "inner.gas is 2.5, not int"),
        ({"inner": {"gas": 2, "cpu_ms": "fast"}}, "inner.cpu_ms is 'fast', not float"),
        ({"names": ["a", 1]}, "names.1 is 1, not str"),
        ({"scores": {"a": "high"}}, "scores.a is 'high', not float"),
        ({"note": 5}, "note is 5, not str"),
        ({"names": "x" * 100}, f"names is '{'x' * 39}..., not list"),
    ],
)
def test_another_type_is_named(change, message):
    with pytest.raises(RecordError) as caught:
        check_record(GOOD | change, Record)
    assert str(caught.value) == message


def test_a_record_that_is_no_table_is_refused():
    with pytest.raises(RecordError, match=r"^it is \[1\], not dict$"):
        check_record([1], Record)


@pytest.mark.parametrize("key", ["loss", "inner", "names", "scores", "note"])
def test_a_missing_key_is_named(key):
    with pytest.raises(MissingKeyError, match=f"^{key}$"):
        check_record({name: value for name, value in GOOD.items() if name != key}, Record)


def test_a_missing_key_of_an_inner_table_has_a_dotted_name():
    with pytest.raises(MissingKeyError, match=r"^inner\.gas$"):
        check_record(GOOD | {"inner": {}}, Record)


def test_a_partial_record_may_lack_keys_but_has_the_right_types():
    assert check_record({"inner": {}, "names": None}, Record, partial=True) == {"inner": {}, "names": None}
    with pytest.raises(RecordError, match=r"inner\.gas"):
        check_record({"inner": {"gas": "2"}}, Record, partial=True)


def test_keys_without_evidence_are_found_through_the_other_annotations():
    assert unverified_keys(Record) == {"loss"}
    assert unverified_keys(Inner) == {"cpu_ms"}


def test_required_keys_may_be_of_inner_tables():
    require_keys(GOOD, "loss", "inner.gas", "note")
    for key in ("inner.bytes", "loss.gas", "other"):
        with pytest.raises(MissingKeyError, match=key):
            require_keys(GOOD, key)


SCHEMA = {
    "label": ArrayType("int32", "N"),
    "probability": ArrayType("float32", "NK"),
    "classes": ArrayType("str", "K", required=False),
    "rate": ArrayType("float64", ""),
}
ARRAYS = {
    "label": np.zeros(3, np.int64),
    "probability": np.zeros((3, 2), np.float16),
    "classes": np.array(["N", "V"]),
    "rate": np.array(360.0),
    "more": np.zeros((7, 7)),
}


def test_arrays_of_the_right_kinds_and_shapes_are_accepted():
    check_arrays(ARRAYS, SCHEMA)
    check_arrays({name: array for name, array in ARRAYS.items() if name != "classes"}, SCHEMA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.zeros(3)}, "label holds float64, not int32"),
        ({"label": np.zeros((3, 1), int)}, "label has shape (3, 1), not [N]"),
        ({"probability": np.zeros((4, 2))}, "probability has shape (4, 2), not [N, K] with N = 3"),
        ({"classes": np.array(["N"])}, "classes has shape (1,), not [K] with K = 2"),
        ({"rate": np.zeros(1)}, "rate has shape (1,), not []"),
    ],
)
def test_arrays_that_do_not_belong_together_are_named(change, message):
    with pytest.raises(RecordError) as caught:
        check_arrays(ARRAYS | change, SCHEMA)
    assert str(caught.value) == message


def test_a_missing_array_is_named():
    with pytest.raises(MissingKeyError, match=r"^label$"):
        check_arrays({}, SCHEMA)
