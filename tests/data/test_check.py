"""`bofl data check`: it accepts the real files, and names the first file or count that is wrong."""

import os

import pytest

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.data import check
from bofl_jax.data.ecg.mitbih_records import PUBLISHED_COUNTS
from bofl_jax.data.physionet import CHECKSUMS_FILE


@pytest.fixture
def linked(mitdb, tmp_path):
    """Links to the real files, so that one can be replaced."""
    folder = tmp_path / "mitdb"
    folder.mkdir()
    for path in mitdb.iterdir():
        os.symlink(path, folder / path.name)
    return folder


def replace(path, content):
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def test_the_real_files_are_accepted(mitdb):
    report = check("mitbih", mitdb)
    assert report.files == 144
    assert report.columns == ("N", "S", "V", "F", "Q", "total")
    assert {row: counts[:-1] for row, counts in report.rows.items()} == PUBLISHED_COUNTS
    assert [report.rows[row][-1] for row in ("ds1", "ds2", "nonpaced", "all")] == [51021, 49712, 100733, 109494]


def test_the_first_wrong_file_is_named(linked):
    replace(linked / "203.atr", b"other")
    replace(linked / "105.dat", b"other")
    with pytest.raises(VerificationError, match=r"105\.dat differs from the published file") as caught:
        check("mitbih", linked)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("name", ["100.hea", "234.atr", CHECKSUMS_FILE])
def test_a_missing_file_is_named(linked, name):
    replace(linked / name, None)
    with pytest.raises(VerificationError, match=f"no file .*{name}"):
        check("mitbih", linked)


@pytest.mark.parametrize("content", [b"", b"what\n"])
def test_a_damaged_list_of_checksums_is_named(linked, content):
    replace(linked / CHECKSUMS_FILE, content)
    with pytest.raises(VerificationError, match=rf"{CHECKSUMS_FILE} is damaged"):
        check("mitbih", linked)


def test_a_different_count_is_named(mitdb, monkeypatch):
    monkeypatch.setitem(PUBLISHED_COUNTS, "ds2", (44259, 1837, 3221, 388, 8))
    with pytest.raises(VerificationError, match="ds2 has 7 beats of class Q, not the published 8"):
        check("mitbih", mitdb)


def test_a_source_without_published_files_is_refused(tmp_path):
    with pytest.raises(BoflError, match="no published files to check for 'simulator': use one of mitbih"):
        check("simulator")
    with pytest.raises(BoflError, match="no folder"):
        check("mitbih", tmp_path / "none")
