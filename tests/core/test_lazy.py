"""Packages whose names are imported at their first use."""

import subprocess
import sys

import pytest

import bofl_jax
from bofl_jax import config

SLOW = ("jax", "flax", "optax", "scipy", "numpy")


@pytest.mark.parametrize("package", [bofl_jax, config])
def test_every_public_name_can_be_imported(package):
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(package.__all__) == set(dir(package))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'bofl_jax' has no attribute 'nothing'"):
        bofl_jax.nothing  # noqa: B018


def test_presets_and_typing_errors_import_no_slow_package():
    program = (
        "import sys; from bofl_jax.cli.app import app; from bofl_jax.core.errors import BoflError\n"
        "app(['presets'], standalone_mode=False)\n"
        "try: app(['run', 'quikstart'], standalone_mode=False)\n"
        "except BoflError as error: print(error)\n"
        f"print([name for name in {SLOW} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "did you mean quickstart?" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
