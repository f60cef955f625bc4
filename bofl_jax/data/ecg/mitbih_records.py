"""Tables of the MIT-BIH Arrhythmia Database: sets of records, persons, published counts of beats."""

from collections.abc import Iterable

DS1: tuple[str, ...] = (
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122",
    "124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230",
)  # fmt: skip
"""The 22 training records of the customary inter-patient split."""

DS2: tuple[str, ...] = (
    "100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210",
    "212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234",
)  # fmt: skip
"""The 22 test records of the customary inter-patient split. Record 202 is of the man of record 201, which is in DS1."""

PACED: tuple[str, ...] = ("102", "104", "107", "217")
"""The four records of pacemaker patients, which are customarily left out."""

NONPACED: tuple[str, ...] = tuple(sorted(DS1 + DS2))
ALL: tuple[str, ...] = tuple(sorted(DS1 + DS2 + PACED))

RECORD_SETS: dict[str, tuple[str, ...]] = {"ds1": DS1, "ds2": DS2, "nonpaced": NONPACED, "all": ALL}
"""Names that stand for lists of records in the configuration."""

PUBLISHED_COUNTS: dict[str, tuple[int, ...]] = {
    "ds1": (45866, 944, 3788, 415, 8),
    "ds2": (44259, 1837, 3221, 388, 7),
    "nonpaced": (90125, 2781, 7009, 803, 15),
    "all": (90631, 2781, 7236, 803, 8043),
}
"""Beats of the classes N, S, V, F, Q in each set of records (DS1 and DS2 as in de Chazal 2004)."""

_FIRST_RECORD: dict[str, str] = {"202": "201"}
"""Later records of a person, and the first record of that person."""


def persons_of_records(records: Iterable[str]) -> tuple[str, ...]:
    """The person behind each record, named by the person's first record.

    The 44 records without pacemaker count as 44 clients by custom, but records 201 and 202 are of one man. A split that
    keeps persons apart, and an interval over persons, must therefore compare persons and not records.

    >>> persons_of_records(["100", "201", "202"])
    ('100', '201', '201')
    """
    return tuple(_FIRST_RECORD.get(record, record) for record in records)
