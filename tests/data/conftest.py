"""Real recordings where there are any, and a cache that no test shares with the user."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BOFL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def mitdb() -> Path:
    folder = Path(os.environ.get("BOFL_DATA", "../shared/data")) / "mitdb"
    if not folder.is_dir():
        pytest.skip("no MIT-BIH records: set BOFL_DATA to the folder that holds mitdb/")
    return folder.resolve()


@pytest.fixture
def record_100(mitdb, tmp_path) -> Path:
    """A folder of its own with record 100 alone, to be damaged."""
    folder = tmp_path / "mitdb"
    folder.mkdir()
    for extension in ("hea", "dat", "atr"):
        shutil.copyfile(mitdb / f"100.{extension}", folder / f"100.{extension}")
    return folder
