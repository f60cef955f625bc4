"""Samples, keys, canonical bytes and how scripts end."""

import dataclasses

import jax
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError, VerificationError, in_one_line
from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.serialization import canonical_bytes, stacked_canonical_bytes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {"y": s.y[:-1]}, "different lengths"),
        (lambda s: {"x": np.where(np.arange(len(s))[:, None, None] == 7, np.nan, s.x)}, "sample 7"),
        (lambda s: {"y": s.y + 9}, "only 3 classes"),
        (lambda s: {"subject": s.subject - 1}, "holds -1"),
        (lambda s: {"x": s.x[..., 0]}, r"x\[N,T,L\]"),
    ],
)
def test_samples_refuse_what_does_not_fit(samples, change, said):
    with pytest.raises(BoflError, match=said):
        dataclasses.replace(samples, **change(samples))


def test_keys_differ_by_purpose_round_and_client_and_seed():
    def data(*path, seed=0, purpose=Purpose.TRAIN):
        return tuple(np.asarray(jax.random.key_data(derive(root_key(seed), purpose, *path))).tolist())

    keys = [data(1, 2), data(2, 1), data(1, 3), data(1, 2, seed=1), data(1, 2, purpose=Purpose.PERSONALISE), data(1)]
    assert len(set(keys)) == len(keys)
    assert data(1, 2) == data(1, 2)


def test_purposes_keep_their_numbers():
    assert {purpose.name: int(purpose) for purpose in Purpose} == {
        "DATA": 0,
        "PARTITION": 1,
        "MODEL": 2,
        "COHORT": 3,
        "STRAGGLER": 4,
        "TRAIN": 5,
        "PERSONALISE": 6,
        "INTRUDER": 7,
        "CHANNEL": 8,
        "ALTERED": 9,
        "SYNTHESIS": 10,
        "EXPLAIN": 11,
        "CONTRIBUTION": 12,
    }


def test_canonical_bytes_do_not_depend_on_insertion_order_or_byte_order():
    a = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(2, dtype=np.int32)}
    b = {"b": a["b"].astype(">i4"), "w": np.asfortranarray(a["w"])}
    assert canonical_bytes(a) == canonical_bytes(b)
    text, data = canonical_bytes(a)
    assert text == "['b'] (2,) int32\n['w'] (2, 3) float32\n"
    assert data == a["b"].astype("<i4").tobytes() + a["w"].astype("<f4").tobytes()


def test_stacked_rows_are_the_bytes_of_each_client():
    rng = np.random.default_rng(0)
    tree = {"w": rng.standard_normal((4, 3, 2)).astype(np.float32), "b": rng.integers(0, 9, (4, 5)).astype(np.int32)}
    text, parts = stacked_canonical_bytes(tree)
    for client in range(4):
        one_text, one = canonical_bytes(jax.tree.map(lambda a, c=client: a[c], tree))
        assert (text, b"".join(part[client].tobytes() for part in parts)) == (one_text, one)


@pytest.mark.parametrize(("error", "code"), [(BoflError, 2), (VerificationError, 1)])
def test_a_script_ends_with_the_message_and_the_exit_code(error, code, capsys):
    with pytest.raises(SystemExit) as end, in_one_line():
        raise error("no folder x: set BOFL_DATA")
    assert (end.value.code, capsys.readouterr().err) == (code, "no folder x: set BOFL_DATA\n")


def test_other_errors_of_a_script_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), in_one_line():
        1 / 0  # noqa: B018
