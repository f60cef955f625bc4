"""The user's own arrays: valid files are loaded, and every other file gives one clear line."""

import numpy as np
import pytest
from pydantic import ValidationError

from bofl_jax.core.errors import BoflError
from bofl_jax.data import NpzOptions, load

RNG = np.random.default_rng(0)


def arrays(**changes):
    usual = {"x": RNG.normal(size=(6, 16)), "y": np.array([0, 1, 0, 2, 1, 0]), "subject": np.array([7, 7, 3, 3, 7, 3])}
    return {name: value for name, value in (usual | changes).items() if value is not None}


def written(tmp_path, **changes):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays(**changes))
    return NpzOptions(root=path)


def test_a_file_with_the_required_arrays_only(tmp_path):
    samples = load(written(tmp_path), seed=0)
    assert samples.x.shape == (6, 16, 1)
    assert samples.x.dtype == np.float32
    assert samples.features.shape == (6, 0)
    assert samples.subjects == ("3", "7")
    assert samples.subject.tolist() == [1, 1, 0, 0, 1, 0]
    assert samples.classes == ("0", "1", "2")
    assert samples.time.tolist() == [0, 1, 0, 1, 2, 2]
    assert samples.fs == 1.0


def test_a_file_with_all_arrays(tmp_path):
    more = {"features": np.ones((6, 2)), "time": np.arange(6) * 0.5, "classes": np.array(["a", "b", "c", "d"])}
    samples = load(written(tmp_path, x=RNG.normal(size=(6, 16, 3)), fs=np.array(250), **more), seed=0)
    assert samples.x.shape == (6, 16, 3)
    assert samples.features.shape == (6, 2)
    assert samples.time.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert samples.classes == ("a", "b", "c", "d")
    assert samples.fs == 250.0


def test_names_are_numbered_in_sorted_order(tmp_path):
    names = {"y": np.array(["v", "n", "v", "n", "s", "n"]), "subject": np.array(["zoe", "al", "al", "al", "zoe", "al"])}
    samples = load(written(tmp_path, **names), seed=0)
    assert samples.classes == ("n", "s", "v")
    assert samples.y.tolist() == [2, 0, 2, 0, 1, 0]
    assert samples.subjects == ("al", "zoe")
    ordered = load(written(tmp_path, classes=np.array(["v", "s", "n"]), **names), seed=0)
    assert ordered.y.tolist() == [0, 2, 0, 2, 1, 2]


def test_two_subjects_may_be_recordings_of_one_person(tmp_path):
    person = {"person": np.array(["ann", "ann", "bob", "bob", "ann", "bob"])}
    assert load(written(tmp_path, **person), seed=0).persons == ("bob", "ann")
    subject = np.array([7, 7, 3, 3, 8, 3])
    samples = load(written(tmp_path, subject=subject, **person), seed=0)
    assert (samples.subjects, samples.persons) == (("3", "7", "8"), ("bob", "ann", "ann"))


def test_only_mitbih_knows_that_its_records_201_and_202_are_one_man(tmp_path):
    samples = load(written(tmp_path, subject=np.array([201, 201, 202, 202, 201, 202])), seed=0)
    assert samples.person is None
    assert samples.persons == ("201", "202")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.full((6, 16), np.nan)}, "x holds a NaN or infinite value at sample 0"),
        ({"x": np.full((6, 16), 1e300)}, "x holds a NaN or infinite"),
        ({"x": np.zeros(6)}, r"x\[N,T,L\]"),
        ({"x": np.array(["a"] * 6)}, "instead of numbers"),
        ({"x": np.array([None] * 6)}, "not a readable .npz"),
        ({"x": None}, "no array 'x' among subject, y"),
        ({"subject": None}, "no array 'subject'"),
        ({"y": np.array([0, 1])}, "different lengths"),
        ({"y": np.array([0.5] * 6)}, "integer class indices"),
        ({"y": np.array([0, 1, 0, -1, 1, 0])}, "y holds -1"),
        ({"y": np.zeros((6, 1), int)}, "one value per sample"),
        ({"classes": np.array(["a", "b"])}, "y holds 2, but there are only 2 classes"),
        ({"y": np.array(list("abcdef")), "classes": np.array(["a", "b"])}, "'c', which is not in classes"),
        ({"features": np.ones((5, 2))}, "different lengths"),
        ({"features": np.full((6, 1), np.inf)}, "features holds a NaN"),
        ({"time": np.array([0, 1, 2, 3, 4, np.nan])}, "time holds a NaN"),
        ({"fs": np.array(0)}, "fs is not one positive number"),
        ({"subjects": np.zeros(6)}, "'subjects' would be ignored"),
        (
            {"person": np.array([1, 2, 3, 3, 1, 3])},
            "subject '7' has the persons '1' and '2': give each subject one person",
        ),
        ({"person": np.array([1, 1])}, "person has 2 entries, and subject has 6"),
        ({"person": np.array([0.5] * 6)}, "person holds float64: use integers or names"),
        ({"person": np.zeros((6, 1), int)}, "one value per sample"),
        ({"x": np.zeros((0, 16)), "y": np.zeros(0, int), "subject": np.zeros(0, int)}, "not a single sample"),
    ],
)
def test_an_invalid_array_is_named_with_its_file(tmp_path, changes, message):
    with pytest.raises(BoflError, match=message) as caught:
        load(written(tmp_path, **changes), seed=0)
    assert "mine.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"PK\x03\x04 half an archive"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(BoflError, match=r"bad\.npz is not a readable \.npz file"):
        load(NpzOptions(root=tmp_path / "bad.npz"), seed=0)


def test_truncated_and_single_array_files_are_refused(tmp_path):
    options = written(tmp_path)
    options.root.write_bytes(options.root.read_bytes()[:-200])
    with pytest.raises(BoflError, match="not a readable"):
        load(options, seed=0)
    np.save(tmp_path / "one.npy", np.zeros((3, 4)))
    with pytest.raises(BoflError, match="single array"):
        load(NpzOptions(root=tmp_path / "one.npy"), seed=0)


def test_a_missing_file_and_a_missing_root_are_refused(tmp_path):
    with pytest.raises(BoflError, match=r"no file .*none\.npz: set data\.root"):
        load(NpzOptions(root=tmp_path / "none.npz"), seed=0)
    with pytest.raises(ValidationError, match="root"):
        NpzOptions()
