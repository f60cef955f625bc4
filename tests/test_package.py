"""What a user gets from the package as a whole: its version, its presets, and a light import."""

import importlib.metadata
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import bofl_jax as bofl

PRESETS = bofl.presets()
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = ("eth", "matplotlib.pyplot", "orbax", "pandas", "wfdb")  # seconds each: only the commands that use them pay


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that sees the same package as this one, without the tests' settings."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_version_is_that_of_the_installed_package():
    assert importlib.metadata.version("bofl_jax") == PROJECT["version"]


def test_the_citation_names_this_version():
    assert f"version: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()


def test_tests_and_doctests_see_the_working_tree():
    assert Path(bofl.__file__) == ROOT / "bofl_jax" / "__init__.py"


def test_the_import_is_light():
    result = python("-c", f"import bofl_jax, sys; print(*(name for name in {HEAVY} if name in sys.modules))")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_no_public_name_is_hidden_by_a_module():
    bofl.presets()
    assert [name for name in bofl.__all__ if isinstance(getattr(bofl, name), ModuleType)] == []


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_complete_and_survives_being_written(name):
    config = bofl.load_config(name)
    assert config.name == name
    assert bofl.load_config(tomllib.loads(config.to_toml())) == config


def test_the_module_is_the_command():
    result = python("-m", "bofl_jax", "presets")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == PRESETS


def test_constraints_pin_every_dependency_exactly():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split(";")[0].strip() for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if pin.count("==") != 1 or "/" in pin] == []
    extras = PROJECT["optional-dependencies"]
    pinned = {canonical(pin) for pin in pins}
    wanted = {canonical(line) for line in (*PROJECT["dependencies"], *extras["test"], *extras["dev"])}
    assert wanted - pinned - {"bofl-jax"} == set()


def canonical(requirement: str) -> str:
    """The normalised name of a requirement: ``eth_abi>=5.2`` -> ``eth-abi``."""
    name = requirement
    for mark in "[<>=; ":
        name = name.partition(mark)[0]
    return name.lower().replace("_", "-").replace(".", "-")
