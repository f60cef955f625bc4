"""Run directories: one in the written format with 44 clients, and a real one with every result file."""

import shutil
from pathlib import Path

import pytest

from tests.figures.conftest import build_run
from tests.support.complete_run import make_complete_run


@pytest.fixture(scope="session")
def built_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """44 clients and 50 rounds; do not change its files."""
    return build_run(tmp_path_factory.mktemp("results") / "built")


@pytest.fixture
def copy(built_run: Path, tmp_path: Path) -> Path:
    """A copy of it whose files may be changed."""
    return Path(shutil.copytree(built_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def complete_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run with every result file; do not change its files."""
    return make_complete_run(tmp_path_factory.mktemp("complete"))


@pytest.fixture
def run_copy(complete_run: Path, tmp_path: Path) -> Path:
    """A copy of it whose files may be changed."""
    return Path(shutil.copytree(complete_run, tmp_path / "run"))
