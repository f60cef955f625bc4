"""Samples, keys, canonical bytes, and errors of scripts."""

import dataclasses

import jax
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError, VerificationError, exit_on_error
from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.serialization import canonical_bytes, stacked_canonical_bytes
from bofl_jax.core.types import concatenate, fully_observed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"y": s.y[:-1]}, "different lengths"),
        (lambda s: {"x": np.where(np.arange(len(s))[:, None, None] == 7, np.nan, s.x)}, "sample 7"),
        (lambda s: {"y": s.y + 9}, "only 3 classes"),
        (lambda s: {"subject": s.subject - 1}, "holds -1"),
        (lambda s: {"x": s.x[..., 0]}, r"x\[N,T,L\]"),
        (lambda s: {"mask": np.ones((len(s), 32), bool)}, r"mask has shape \(240, 32\), and x has shape"),
        (lambda s: {"mask": np.ones(s.x.shape)}, "mask holds float64"),
        (lambda _: {"mask": np.ones((3, 32, 1), bool)}, "different lengths"),
        (lambda s: {"delta": np.zeros((len(s), 1, 1))}, "delta has shape"),
        (lambda s: {"delta": np.full(s.x.shape, -0.5)}, "delta holds a negative number of hours"),
        (lambda s: {"delta": np.full(s.x.shape, np.inf)}, "delta holds a NaN or infinite value at sample 0"),
        (lambda _: {"person": ("ann",)}, "person has 1 names for 6 subjects: give one name per subject"),
        (lambda _: {"site": ("ward",) * 7}, "site has 7 names for 6 subjects"),
        (lambda _: {"channels": ("MLII", "V5")}, "channels has 2 names for 1 channels: give one name per channel"),
        (lambda _: {"units": ()}, "units has 0 names for 1 channels"),
        (lambda _: {"task": "regression"}, "task = 'regression' is unknown: choose one of multiclass, binary"),
        (lambda s: {"label_time": np.zeros((len(s), 2))}, "label_time has shape"),
        (lambda s: {"label_time": np.full(len(s), np.nan)}, "label_time holds a NaN"),
    ],
)
def test_fields_of_samples_that_do_not_fit_are_refused(samples, change, message):
    with pytest.raises(BoflError, match=message) as caught:
        dataclasses.replace(samples, **change(samples))
    assert "\n" not in str(caught.value)


OPTIONAL = ("mask", "delta", "person", "site", "channels", "units", "label_time")


def test_optional_fields_are_none_unless_given(samples):
    assert [getattr(samples, name) for name in OPTIONAL] == [None] * len(OPTIONAL)
    assert samples.task == "multiclass"


def test_every_subject_is_a_person_of_their_own_unless_persons_are_given(samples):
    assert samples.persons == samples.subjects
    person = ("ann", "ann", "bob", "eve", "dan", "fay")
    assert dataclasses.replace(samples, person=person).persons == person


def observed(samples):
    """The samples with all optional fields."""
    rng = np.random.default_rng(0)
    return dataclasses.replace(
        samples,
        mask=rng.random(samples.x.shape) < 0.5,
        delta=rng.random(samples.x.shape, np.float32),
        person=("ann", "ann", "bob", "eve", "dan", "fay"),
        site=("ward",) * 6,
        channels=("MLII",),
        units=("mV",),
        task="binary",
        label_time=samples.time + 1,
    )


def test_all_fields_are_joined_sample_by_sample(samples):
    pool = observed(samples)
    joined = concatenate([pool, pool])
    for name in ("x", "features", "y", "subject", "time", "mask", "delta", "label_time"):
        np.testing.assert_array_equal(getattr(joined, name), np.concatenate([getattr(pool, name)] * 2))
    assert (joined.persons, joined.site, joined.units, joined.task) == (pool.persons, pool.site, ("mV",), "binary")
    assert concatenate([samples, samples]).mask is None


def test_other_samples_of_a_pool_count_as_observed(samples):
    pool = observed(samples)
    columns = samples.x[:3], samples.features[:3], samples.y[:3], samples.subject[:3], np.zeros(3)
    more = fully_observed(pool, *columns)
    assert more.mask.all()
    assert (more.delta.dtype, more.delta.max(), more.label_time.tolist()) == (np.float32, 0, [0, 0, 0])
    assert len(concatenate([pool, more])) == len(pool) + 3
    plain = fully_observed(samples, *columns)
    assert [getattr(plain, name) for name in OPTIONAL] == [None] * len(OPTIONAL)


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
    with pytest.raises(SystemExit) as end, exit_on_error():
        raise error("no folder x: set BOFL_DATA")
    assert (end.value.code, capsys.readouterr().err) == (code, "no folder x: set BOFL_DATA\n")


def test_an_unexpected_error_of_a_script_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), exit_on_error():
        1 / 0  # noqa: B018
