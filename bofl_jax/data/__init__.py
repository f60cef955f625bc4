"""Data sources: the ECG simulator, MIT-BIH through WFDB, and arrays of the user's own, one file a source.

Importing the room is quick, because wfdb and SciPy are imported when they are first used.
"""

from typing import TYPE_CHECKING

# The order of these imports is the order of the sources in messages and in `bofl data list`.
from bofl_jax.data.ecg.simulator import SimulatorOptions  # isort: skip
from bofl_jax.data.ecg.mitbih import MitbihOptions, count_beats  # isort: skip
from bofl_jax.data.npz import NpzOptions  # isort: skip
from bofl_jax.data.demographics import Attribute, Demographics, Groups, group_by_attribute
from bofl_jax.data.ecg.beats import EcgOptions
from bofl_jax.data.ecg.mitbih_records import DS1, DS2, PACED, persons_of_records
from bofl_jax.data.registry import (
    SOURCES,
    CheckReport,
    Source,
    SourceOptions,
    check,
    demographic_groups,
    fetch,
    load,
    sources_with_demographics,
)

if TYPE_CHECKING:
    DataOptions = SourceOptions
else:
    DataOptions = SOURCES.section_type()
"""The ``[data]`` section of a configuration."""

__all__ = [
    "DS1",
    "DS2",
    "PACED",
    "SOURCES",
    "Attribute",
    "CheckReport",
    "DataOptions",
    "Demographics",
    "EcgOptions",
    "Groups",
    "MitbihOptions",
    "NpzOptions",
    "SimulatorOptions",
    "Source",
    "SourceOptions",
    "check",
    "count_beats",
    "demographic_groups",
    "fetch",
    "group_by_attribute",
    "load",
    "persons_of_records",
    "sources_with_demographics",
]
