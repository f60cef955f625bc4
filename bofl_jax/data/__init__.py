"""Recordings become windows: the simulator, MIT-BIH through WFDB, and anyone's own arrays.

Importing the room is quick; wfdb, SciPy and the simulator are imported when they are first used.
"""

from bofl_jax.data.check import CheckReport, check
from bofl_jax.data.ecg.mitbih import class_counts
from bofl_jax.data.ecg.records import DS1, DS2, PACED, SAME_SUBJECT, person_of
from bofl_jax.data.fetch import fetch
from bofl_jax.data.options import DataOptions, MitbihOptions, NpzOptions, SimulatorOptions
from bofl_jax.data.people import Attribute, Groups, Person, group_people
from bofl_jax.data.registry import SOURCES, describing, groups_of, load

__all__ = [
    "DS1",
    "DS2",
    "PACED",
    "SAME_SUBJECT",
    "SOURCES",
    "Attribute",
    "CheckReport",
    "DataOptions",
    "Groups",
    "MitbihOptions",
    "NpzOptions",
    "Person",
    "SimulatorOptions",
    "check",
    "class_counts",
    "describing",
    "fetch",
    "group_people",
    "groups_of",
    "load",
    "person_of",
]
