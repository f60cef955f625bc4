"""The batches of synthetic samples in a run directory must be exactly those on the ledger."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from bofl_jax.core.digest import digest
from bofl_jax.core.errors import VerificationError
from bofl_jax.results.requests import BATCH_LAYOUT, batch_digest, batch_path, write_batch
from bofl_jax.runs.audit_requests import check_batches

UNUSED = {"request": 3, "used": 0, "batchDigest": bytes(32)}


def batch(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(5, 32, 1)).astype(np.float32),
        "features": rng.normal(size=(5, 2)).astype(np.float32),
        "y": rng.integers(0, 3, 5).astype(np.int32),
    }


@pytest.fixture
def logged(tmp_path: Path) -> list[dict]:
    """Events of the ledger: the batches of requests 1 and 2 are used, that of request 3 is not."""
    digests = [write_batch(tmp_path, number, batch(number)) for number in (1, 2)]
    return [*({"request": n, "used": 5, "batchDigest": d} for n, d in enumerate(digests, 1)), UNUSED]


@pytest.mark.usefixtures("logged")
def test_a_saved_batch_comes_back(tmp_path):
    with np.load(batch_path(tmp_path, 1)) as stored:
        assert set(stored.files) == {"x", "features", "y"}
        for name, array in batch(1).items():
            np.testing.assert_array_equal(stored[name], array)
            assert stored[name].dtype == array.dtype


def test_the_digest_is_that_of_the_files_bytes(tmp_path, logged):
    assert [entry["batchDigest"] for entry in logged[:2]] == [batch_digest(batch_path(tmp_path, n)) for n in (1, 2)]
    assert batch_digest(batch_path(tmp_path, 1)) == digest(BATCH_LAYOUT, batch_path(tmp_path, 1).read_bytes())
    assert len(logged[0]["batchDigest"]) == hashlib.sha256().digest_size
    assert logged[0]["batchDigest"] != logged[1]["batchDigest"]


def test_the_same_arrays_have_the_same_digest(tmp_path, logged):
    assert write_batch(tmp_path / "again", 1, batch(1)) == logged[0]["batchDigest"]


@pytest.mark.usefixtures("logged")
def test_nothing_but_batches_is_left(tmp_path):
    assert sorted(path.name for path in (tmp_path / "synthetic").iterdir()) == ["000001.npz", "000002.npz"]


def test_the_logged_batches_hold(tmp_path, logged):
    assert check_batches(tmp_path, logged) == 2
    assert check_batches(tmp_path / "elsewhere", [UNUSED]) == 0
    assert check_batches(tmp_path / "elsewhere", []) == 0


@pytest.mark.parametrize("position", [0, 50, -1])
def test_a_changed_byte_is_found(position, tmp_path, logged):
    path = batch_path(tmp_path, 2)
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationError, match=r"000002\.npz is not the batch that was logged$"):
        check_batches(tmp_path, logged)


def test_a_changed_array_is_found(tmp_path, logged):
    write_batch(tmp_path, 1, batch(1) | {"y": np.zeros(5, np.int32)})
    with pytest.raises(VerificationError, match=r"000001\.npz is not the batch that was logged$"):
        check_batches(tmp_path, logged)


def test_exchanged_batches_are_found(tmp_path, logged):
    first, second = batch_path(tmp_path, 1), batch_path(tmp_path, 2)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    with pytest.raises(VerificationError, match="is not the batch that was logged"):
        check_batches(tmp_path, logged)


def test_a_missing_batch_is_found(tmp_path, logged):
    batch_path(tmp_path, 1).unlink()
    with pytest.raises(VerificationError, match=r"000001\.npz is missing: the ledger says that this batch was used"):
        check_batches(tmp_path, logged)


@pytest.mark.parametrize("name", ["000003.npz", "000004.npz", "other.txt", "000001.partial.npz"])
def test_what_was_not_logged_as_used_is_found(name, tmp_path, logged):
    (tmp_path / "synthetic" / name).write_bytes(b"something")
    with pytest.raises(VerificationError, match=r"was not logged as a batch that is used$"):
        check_batches(tmp_path, logged)
