"""The table of sources, and the one door through which a configuration becomes samples."""

from collections.abc import Callable
from typing import Any, NamedTuple

from bofl_jax.core.types import Samples
from bofl_jax.data.options import DataOptions, MitbihOptions, NpzOptions, SimulatorOptions


class Source(NamedTuple):
    """One way to get samples."""

    description: str  # one line, for `bofl data list`
    options: type[Any]
    load: Callable[[Any, int], Samples]


def _simulator(options: SimulatorOptions, seed: int) -> Samples:
    from bofl_jax.data.simulator import simulate

    return simulate(options, seed)


def _mitbih(options: MitbihOptions, _seed: int) -> Samples:
    from bofl_jax.data.mitbih import load_mitbih

    return load_mitbih(options)


def _npz(options: NpzOptions, _seed: int) -> Samples:
    from bofl_jax.data.npz import load_npz

    return load_npz(options)


SOURCES: dict[str, Source] = {
    "simulator": Source("made-up patients: ECG beats of classes N, S, V, F, Q; no files", SimulatorOptions, _simulator),
    "mitbih": Source("MIT-BIH Arrhythmia Database: 48 half-hour ECG records, read with wfdb", MitbihOptions, _mitbih),
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
