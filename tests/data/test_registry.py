"""The table of sources and the configuration section agree, and importing the room is quick."""

import subprocess
import sys
from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from bofl_jax.data import SOURCES, DataOptions, MitbihOptions, SimulatorOptions, location
from bofl_jax.data.location import cache_home, data_root

ADAPTER = TypeAdapter(DataOptions)


def test_every_source_is_an_alternative_of_the_section():
    alternatives = get_args(get_args(DataOptions)[0])
    assert {source.options for source in SOURCES.values()} == set(alternatives)
    for name, source in SOURCES.items():
        assert get_args(source.options.model_fields["source"].annotation) == (name,)
        assert "\n" not in source.description


def test_the_section_is_told_apart_by_its_source():
    assert ADAPTER.validate_python({"source": "mitbih", "records": [100, "101"]}).record_names() == ("100", "101")
    assert isinstance(ADAPTER.validate_python({"source": "simulator"}), SimulatorOptions)
    with pytest.raises(ValidationError, match="mitbih"):
        ADAPTER.validate_python({"source": "mitbhi"})


@pytest.mark.parametrize("options", [SimulatorOptions(), MitbihOptions(root="somewhere", records=("100",))])
def test_options_survive_being_written(options):
    assert ADAPTER.validate_python(options.model_dump(mode="json")) == options


def test_where_data_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("BOFL_DATA", str(tmp_path))
    assert data_root(None, "mitbih") == tmp_path / "mitdb"
    assert data_root("here", "mitbih") == location.Path("here")
    monkeypatch.delenv("BOFL_DATA")
    assert data_root(None, "mitbih") == cache_home() / "mitdb"
    monkeypatch.delenv("BOFL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_home() == tmp_path / "xdg" / "bofl_jax"


def test_importing_the_room_does_not_wait_for_wfdb():
    code = "import sys, bofl_jax.data; print([m for m in ('wfdb', 'pandas') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
