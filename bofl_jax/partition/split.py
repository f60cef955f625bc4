"""Training and test samples: split by subject, or by time within each subject."""

from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from bofl_jax.core.errors import BoflError
from bofl_jax.core.options import Options
from bofl_jax.core.types import Samples


class SplitOptions(Options):
    """Options of every partition scheme: which samples train and which test. Exactly one of the first three is set.

    A split is chronological within each subject (``train_minutes``) or keeps subjects apart (the other two).
    """

    exclusive_fields = (
        frozenset({"train_minutes", "guard_seconds"}),
        frozenset({"test_subjects"}),
        frozenset({"test_fraction"}),
    )

    train_minutes: float | None = Field(None, gt=0, description="labelled minutes at the start of each recording")
    test_subjects: tuple[str, ...] | None = Field(None, description="subjects that only test")
    test_fraction: float | None = Field(None, gt=0, lt=1, description="share of the people that only test, drawn")
    guard_seconds: float = Field(0.0, ge=0, description="pause between the two parts of a chronological split")

    @property
    def name(self) -> str:
        """The value of ``partition.scheme``."""
        return str(getattr(self, "scheme", ""))

    @property
    def support_minutes(self) -> float | None:
        """The value of ``adapt_minutes``, or None in schemes that have no such field."""
        minutes: float | None = getattr(self, "adapt_minutes", None)
        return minutes

    @model_validator(mode="after")
    def _one_split(self) -> "SplitOptions":
        given = [
            name for name in ("train_minutes", "test_subjects", "test_fraction") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                "set exactly one of train_minutes, test_subjects and test_fraction "
                f"({' and '.join(given) + ' are set' if given else 'none is set'})"
            )
        if self.guard_seconds and self.train_minutes is None and self.support_minutes is None:
            raise ValueError("guard_seconds belongs to a chronological split: set train_minutes, or leave it out")
        return self


class SplitIndices(NamedTuple):
    """Sample indices, int64 each and disjoint; with ``guard_seconds`` some samples are in none of them."""

    train: np.ndarray
    test: np.ndarray
    support: np.ndarray  # held-out subjects' samples that their personal models may adapt on


def split(samples: Samples, options: SplitOptions, rng: np.random.Generator) -> SplitIndices:
    """Split the pool into training, test and support samples.

    Args:
        samples: the pool of N samples.
        options: how to split.
        rng: draws the test subjects for ``test_fraction``.

    Raises:
        BoflError: if a named test subject does not exist, or the training or test part would be empty.
    """
    if options.train_minutes is not None:
        train, test = _by_time(samples, options.train_minutes * 60, options.guard_seconds)
        return SplitIndices(train, test, test[:0])
    named = options.test_subjects
    held_out = _named_subjects(samples, named) if named else _draw_subjects(samples, options.test_fraction or 0.0, rng)
    testing = np.isin(samples.subject, held_out)
    train, test = np.flatnonzero(~testing), np.flatnonzero(testing)
    if not len(train) or not len(test):
        raise BoflError("the split leaves no training or no test subject: change partition.test_subjects")
    if set(samples.subject[train]) & set(samples.subject[test]):
        raise AssertionError("a subject is on both sides of a subject-disjoint split")
    minutes = options.support_minutes
    if minutes is None:
        return SplitIndices(train, test, test[:0])
    early = samples.time[test] < 60 * minutes
    late = samples.time[test] >= 60 * minutes + options.guard_seconds
    if not late.any():
        raise BoflError(
            f"partition.adapt_minutes = {minutes:g} leaves no test sample of the held-out subjects: lower it"
        )
    return SplitIndices(train, test[late], test[early])


def _by_time(samples: Samples, until: float, guard: float) -> tuple[np.ndarray, np.ndarray]:
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


def _named_subjects(samples: Samples, names: tuple[str, ...]) -> np.ndarray:
    unknown = sorted(set(names) - set(samples.subjects))
    if unknown:
        raise BoflError(
            f"partition.test_subjects names {', '.join(unknown)}, but the data hold {', '.join(samples.subjects)}"
        )
    return np.flatnonzero(np.isin(samples.subjects, names))


def _draw_subjects(samples: Samples, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the subjects of a share of the persons, so that two recordings of one person stay together."""
    persons = np.array(samples.persons)
    unique = np.unique(persons)
    count = round(len(unique) * fraction)
    if not 0 < count < len(unique):
        raise BoflError(
            f"partition.test_fraction = {fraction} of {len(unique)} people leaves one side empty: choose another share"
        )
    return np.flatnonzero(np.isin(persons, rng.permutation(unique)[:count]))
