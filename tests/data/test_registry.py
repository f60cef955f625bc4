"""The registry of sources and the configuration section agree, a new source is one record, and imports are quick."""

import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from bofl_jax.core.errors import BoflError
from bofl_jax.core.registry import Registry
from bofl_jax.data import (
    SOURCES,
    CheckReport,
    DataOptions,
    Demographics,
    MitbihOptions,
    SimulatorOptions,
    Source,
    SourceOptions,
    check,
    demographic_groups,
    fetch,
    load,
    registry,
    sources_with_demographics,
)
from bofl_jax.data.location import cache_home, data_root, existing_root
from tests.conftest import make_samples

ADAPTER = TypeAdapter(DataOptions)


class WardOptions(SourceOptions):
    source: Literal["ward"] = "ward"
    beds: int = 3


WARD = Source(
    options=WardOptions,
    description="a ward, for the tests",
    load=lambda options, seed: make_samples(subjects=options.beds, seed=seed),
    demographics=lambda _, subjects: [Demographics(60 + 5 * number, "F") for number in range(len(subjects))],
    folder="wards",
    fetch=lambda folder, _: (folder / "beds.txt").write_text("3"),
    check=lambda folder: CheckReport(1, ("total",), {"beds": (int((folder / "beds.txt").read_text()),)}),
)


@pytest.fixture
def sources(monkeypatch) -> Registry[Source]:
    """A registry of the package's sources and one more."""
    found = Registry("data", "source", Source, SourceOptions)
    for source in (*SOURCES.values(), WARD):
        found.register(source)
    monkeypatch.setattr(registry, "SOURCES", found)
    return found


def test_every_source_is_an_alternative_of_the_section():
    alternatives = get_args(get_args(DataOptions)[0])
    assert [source.options for source in SOURCES.values()] == list(alternatives)
    for name, source in SOURCES.items():
        assert get_args(source.options.model_fields["source"].annotation) == (name,)
        assert "\n" not in source.description


def test_the_order_of_the_sources_is_kept():
    assert list(SOURCES) == ["simulator", "mitbih", "npz"]


def test_a_source_that_is_registered_can_do_all_that_the_others_can(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("BOFL_DATA", str(tmp_path))
    options = TypeAdapter(sources.section_type()).validate_python({"source": "ward", "beds": 2})
    samples = load(options, seed=4)
    np.testing.assert_array_equal(samples.x, make_samples(subjects=2, seed=4).x)
    assert sources_with_demographics() == ["mitbih", "ward"]
    assert demographic_groups(options, samples.subjects, "age").subject_group.tolist() == [0, 1]
    with pytest.raises(BoflError, match=r"no folder .*wards: set data\.root .* run `bofl data fetch ward`"):
        check("ward")
    assert fetch("ward") == tmp_path / "wards"
    assert check("ward").rows == {"beds": (3,)}


def test_two_sources_of_one_name_are_refused(sources):
    with pytest.raises(BoflError, match=r"data\.source = 'ward' is registered already"):
        sources.register(WARD)


def test_the_discriminator_selects_the_options():
    assert ADAPTER.validate_python({"source": "mitbih", "records": [100, "101"]}).record_names() == ("100", "101")
    assert isinstance(ADAPTER.validate_python({"source": "simulator"}), SimulatorOptions)
    with pytest.raises(ValidationError, match="mitbih"):
        ADAPTER.validate_python({"source": "mitbhi"})


@pytest.mark.parametrize("options", [SimulatorOptions(), MitbihOptions(root="somewhere", records=("100",))])
def test_options_survive_serialisation(options):
    assert ADAPTER.validate_python(options.model_dump(mode="json")) == options


def test_data_and_caches_have_their_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("BOFL_DATA", str(tmp_path))
    assert data_root(None, "mitdb") == tmp_path / "mitdb"
    assert data_root("here", "mitdb") == Path("here")
    assert existing_root(tmp_path, "mitdb", "mitbih") == tmp_path
    monkeypatch.delenv("BOFL_DATA")
    assert data_root(None, "mitdb") == cache_home() / "mitdb"
    monkeypatch.delenv("BOFL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_home() == tmp_path / "xdg" / "bofl_jax"


def test_importing_the_room_and_reading_a_section_do_not_wait_for_wfdb():
    code = (
        "import sys, bofl_jax.data as data; from pydantic import TypeAdapter;"
        "TypeAdapter(data.DataOptions).validate_python({'source': 'mitbih'});"
        "print([m for m in ('wfdb', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
