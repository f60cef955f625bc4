"""Real recordings where they are available, and a cache for every test that is not the user's."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def temporary_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BOFL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def mitdb() -> Path:
    folder = Path(os.environ.get("BOFL_DATA", "../shared/data")) / "mitdb"
    if not folder.is_dir():
        pytest.skip("no MIT-BIH records: set BOFL_DATA to the folder that holds mitdb/")
    return folder.resolve()


@pytest.fixture
def record_100(mitdb, tmp_path) -> Path:
    """A folder with a copy of record 100, which tests may damage."""
    folder = tmp_path / "mitdb"
    folder.mkdir()
    for extension in ("hea", "dat", "atr"):
        shutil.copyfile(mitdb / f"100.{extension}", folder / f"100.{extension}")
    return folder
