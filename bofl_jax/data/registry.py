"""The table of sources, and the one door through which a configuration becomes samples."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.data.options import DataOptions, MitbihOptions, NpzOptions, SimulatorOptions
from bofl_jax.data.people import Attribute, Groups, Person, group_people


class Source(NamedTuple):
    """One way to get samples."""

    description: str  # one line, for `bofl data list`
    options: type[Any]
    load: Callable[[Any, int], Samples]
    people: Callable[[Any, Sequence[str]], list[Person]] | None = None  # who its subjects are; None: it does not say


def _simulator(options: SimulatorOptions, seed: int) -> Samples:
    from bofl_jax.data.ecg.simulator import simulate

    return simulate(options, seed)


def _mitbih(options: MitbihOptions, _seed: int) -> Samples:
    from bofl_jax.data.ecg.mitbih import load_mitbih

    return load_mitbih(options)


def _mitbih_people(options: MitbihOptions, subjects: Sequence[str]) -> list[Person]:
    from bofl_jax.data.ecg.mitbih import read_people

    return read_people(options, subjects)


def _npz(options: NpzOptions, _seed: int) -> Samples:
    from bofl_jax.data.npz import load_npz

    return load_npz(options)


SOURCES: dict[str, Source] = {
    "simulator": Source("made-up patients: ECG beats of classes N, S, V, F, Q; no files", SimulatorOptions, _simulator),
    "mitbih": Source(
        "MIT-BIH Arrhythmia Database: 48 half-hour ECG records, read with wfdb", MitbihOptions, _mitbih, _mitbih_people
    ),
    "npz": Source("your own arrays x, y, subject in one .npz file", NpzOptions, _npz),
}
"""Source name -> how to load it. Every entry here is an alternative of ``DataOptions``."""


def load(options: DataOptions, seed: int) -> Samples:
    """The samples that a ``[data]`` section asks for.

    Args:
        options: one of the alternatives of ``DataOptions``.
        seed: root seed of the run; only the simulator uses it.

    Raises:
        BoflError: if data are missing, damaged or do not fit together; one line says what and how to mend it.

    >>> samples = load(SimulatorOptions(patients=2, beats=20), seed=0)
    >>> samples.x.shape, samples.features.shape, samples.fs
    ((40, 128, 1), (40, 7), 180.0)
    """
    return SOURCES[options.source].load(options, seed)


def describing() -> list[str]:
    """The sources that say who their people are."""
    return [name for name, source in SOURCES.items() if source.people]


def groups_of(options: DataOptions, subjects: Sequence[str], attribute: Attribute) -> Groups:
    """The group of people that every subject of a pool belongs to.

    Args:
        options: that the pool was loaded with.
        subjects: their names, `Samples.subjects`.
        attribute: ``sex`` or ``age``.

    Raises:
        BoflError: if the source does not say who its people are, or a file is missing or damaged.

    >>> groups_of(SimulatorOptions(), ["p000"], "sex")
    Traceback (most recent call last):
    ...
    bofl_jax.core.errors.BoflError: data.source = 'simulator' does not say who its people are: only mitbih does
    """
    people = SOURCES[options.source].people
    if people is None:
        known = " and ".join(describing())
        raise BoflError(f"data.source = '{options.source}' does not say who its people are: only {known} does")
    return group_people(people(options, subjects), attribute)
