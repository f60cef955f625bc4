"""Groups of subjects by the age or sex of the persons behind them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from bofl_jax.core.errors import BoflError

Attribute = Literal["sex", "age"]

OLD_AGE = 65
"""Years from which a person counts as old, as in most statistics of older people."""

GROUPS: dict[Attribute, tuple[str, ...]] = {"sex": ("F", "M"), "age": (f"under {OLD_AGE}", f"{OLD_AGE} and over")}
"""Attribute -> names of its groups."""


class Demographics(NamedTuple):
    """Age and sex of one person; None where unknown."""

    age: int | None = None  # years
    sex: str | None = None  # "F" or "M"


class Groups(NamedTuple):
    """The group of every subject of a pool of samples."""

    names: tuple[str, ...]  # of the G groups
    subject_group: np.ndarray  # int32[S], index into names; -1 for a subject in no group


def group_by_attribute(demographics: Sequence[Demographics], attribute: Attribute) -> Groups:
    """Group subjects by an attribute; subjects whose attribute is unknown are in no group.

    Age has two groups only. The customary 44 records of MIT-BIH are of 43 persons, of whom 20 are younger than 65 and
    21 are not; smaller groups would describe single persons rather than an age.

    Args:
        demographics: age and sex of the S subjects.
        attribute: ``sex`` (F, M) or ``age`` (under 65, 65 and over).

    Raises:
        BoflError: if the attribute does not exist, or is unknown for every subject.

    >>> subjects = [Demographics(64, "M"), Demographics(None, "F"), Demographics(65)]
    >>> group_by_attribute(subjects, "age").subject_group.tolist()
    [0, -1, 1]
    """
    if attribute not in GROUPS:
        raise BoflError(f"there are no groups of people by {attribute!r}: choose one of {', '.join(GROUPS)}")
    groups = np.array([_group_index(person, attribute) for person in demographics], np.int32)
    if not (groups >= 0).any():
        raise BoflError(f"the {attribute} of no subject is known: set evaluate.groups = 'none'")
    return Groups(GROUPS[attribute], groups)


def _group_index(person: Demographics, attribute: Attribute) -> int:
    if attribute == "sex":
        return -1 if person.sex is None else GROUPS["sex"].index(person.sex)
    return -1 if person.age is None else int(person.age >= OLD_AGE)
