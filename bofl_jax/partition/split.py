"""Which samples train and which test: subject-disjoint, or chronological within a subject."""

from typing import NamedTuple

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.data import person_of
from bofl_jax.partition.options import PatientOptions, SplitOptions


class Parts(NamedTuple):
    """Sample indices, int64 each and disjoint; with ``guard_seconds`` some samples are in none."""

    train: np.ndarray
    test: np.ndarray
    adapt: np.ndarray  # held-out subjects' samples that their own models may adapt on


def split(samples: Samples, options: SplitOptions, rng: np.random.Generator) -> Parts:
    """Split the pool.

    Raises:
        BoflError: if a named test subject does not exist, or one of the parts is empty.
    """
    if options.train_minutes is not None:
        train, test = _chronological(samples, options.train_minutes * 60, options.guard_seconds)
        return Parts(train, test, test[:0])
    held_out = _named(samples, options.test_subjects) if options.test_subjects else _drawn(samples, options, rng)
    testing = np.isin(samples.subject, held_out)
    train, test = np.flatnonzero(~testing), np.flatnonzero(testing)
    if not len(train) or not len(test):
        raise BoflError("the split leaves no training or no test subject: change partition.test_subjects")
    if set(samples.subject[train]) & set(samples.subject[test]):
        raise AssertionError("a subject stands on both sides of a subject-disjoint split")
    minutes = options.adapt_minutes if isinstance(options, PatientOptions) else None
    if minutes is None:
        return Parts(train, test, test[:0])
    until = 60 * minutes
    late = test[samples.time[test] >= until + options.guard_seconds]
    if not len(late):
        raise BoflError(
            f"partition.adapt_minutes = {minutes:g} leaves no test sample of the held-out subjects: lower it"
        )
    return Parts(train, late, test[samples.time[test] < until])


def _chronological(samples: Samples, until: float, guard: float) -> tuple[np.ndarray, np.ndarray]:
    train, test = np.flatnonzero(samples.time < until), np.flatnonzero(samples.time >= until + guard)
    if not len(train) or not len(test):
        raise BoflError(
            f"a training part of {until / 60:g} min leaves no {'test' if len(train) else 'training'} sample "
            f"(recordings last up to {samples.time.max() / 60:.1f} min): change partition.train_minutes"
        )
    latest = np.full(len(samples.subjects), -np.inf)
    np.maximum.at(latest, samples.subject[train], samples.time[train])
    if (samples.time[test] <= latest[samples.subject[test]]).any():
        raise AssertionError("a test sample is older than a training sample of its subject")
    return train, test


def _named(samples: Samples, names: tuple[str, ...]) -> np.ndarray:
    unknown = sorted(set(names) - set(samples.subjects))
    if unknown:
        raise BoflError(
            f"partition.test_subjects names {', '.join(unknown)}, but the data hold {', '.join(samples.subjects)}"
        )
    return np.flatnonzero(np.isin(samples.subjects, names))


def _drawn(samples: Samples, options: SplitOptions, rng: np.random.Generator) -> np.ndarray:
    """Draw people, not recordings, so that two recordings of one person stay together."""
    people = np.array([person_of(name) for name in samples.subjects])
    unique = np.unique(people)
    count = round(len(unique) * (options.test_fraction or 0))
    if not 0 < count < len(unique):
        raise BoflError(
            f"partition.test_fraction = {options.test_fraction} of {len(unique)} people leaves one side empty: "
            "choose another share"
        )
    return np.flatnonzero(np.isin(people, rng.permutation(unique)[:count]))
