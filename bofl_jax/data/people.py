"""Groups of people, by what a data set says of the people whom it recorded."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from bofl_jax.core.errors import BoflError

Attribute = Literal["sex", "age"]

OLD = 65
"""Years from which a person counts as old, as in most statistics of older people."""

GROUPS: dict[Attribute, tuple[str, ...]] = {"sex": ("F", "M"), "age": (f"under {OLD}", f"{OLD} and over")}
"""Attribute -> the names of its groups."""


class Person(NamedTuple):
    """What is known of one person; None: nothing."""

    age: int | None = None  # years
    sex: str | None = None  # "F" or "M"


class Groups(NamedTuple):
    """Which group every subject of a pool is in."""

    names: tuple[str, ...]  # of the G groups
    of: np.ndarray  # int32[subjects], index into names; -1: in none


def parse_person(comments: Sequence[str]) -> Person:
    """Age and sex from the comments of a WFDB header as MIT-BIH writes them, in the first line that gives an age.

    The fields that follow the two are of the tape and the recorder. An age of -1 and a sex that is neither F nor M are
    unknown; so are both where no line gives an age.

    Args:
        comments: lines without their ``#``.

    Moody, Mark: MIT-BIH Arrhythmia Database Directory, 3rd edition, MIT, 1997.

    >>> parse_person(["69 M 1085 1629 x1", "Aldomet, Inderal"]), parse_person(["-1 F 742 654 x1"]), parse_person([])
    (Person(age=69, sex='M'), Person(age=None, sex='F'), Person(age=None, sex=None))
    """
    matches = (re.match(r"(-?\d+)\s+(\S+)", line.strip()) for line in comments)
    found = next(filter(None, matches), None)
    if found is None:
        return Person()
    age, sex = int(found[1]), found[2]
    return Person(age if age >= 0 else None, sex if sex in GROUPS["sex"] else None)


def group_people(people: Sequence[Person], attribute: Attribute) -> Groups:
    """The group of every person. Who lacks the attribute is in none.

    There are two groups of age, since the customary 44 records are of 43 people: 20 are younger than 65 and 21 are not,
    and groups of fewer would say more of single people than of their age.

    Args:
        people: of every subject.
        attribute: ``sex`` (F, M) or ``age`` (under 65, 65 and over).

    Raises:
        BoflError: if there is no such attribute, or nobody has it.

    >>> group_people([Person(64, "M"), Person(None, "F"), Person(65, None)], "age").of.tolist()
    [0, -1, 1]
    """
    if attribute not in GROUPS:
        raise BoflError(f"there are no groups of people by {attribute!r}: choose one of {', '.join(GROUPS)}")
    group = np.array([_place(person, attribute) for person in people], np.int32)
    if not (group >= 0).any():
        raise BoflError(f"the {attribute} of no subject is known: set evaluate.groups = 'none'")
    return Groups(GROUPS[attribute], group)


def _place(person: Person, attribute: Attribute) -> int:
    if attribute == "sex":
        return -1 if person.sex is None else GROUPS["sex"].index(person.sex)
    return -1 if person.age is None else int(person.age >= OLD)
