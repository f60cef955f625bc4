"""The MIT-BIH Arrhythmia Database as a list: record sets, beat symbols, AAMI classes, published counts."""

DS1: tuple[str, ...] = (
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122",
    "124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230",
)  # fmt: skip
"""The 22 training records of the customary inter-patient split."""

DS2: tuple[str, ...] = (
    "100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210",
    "212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234",
)  # fmt: skip
"""The 22 test records of the customary inter-patient split. 202 is the man of 201, who is in DS1."""

PACED: tuple[str, ...] = ("102", "104", "107", "217")
"""The four records of pacemaker patients, customarily left out."""

NONPACED: tuple[str, ...] = tuple(sorted(DS1 + DS2))
ALL: tuple[str, ...] = tuple(sorted(DS1 + DS2 + PACED))

RECORD_SETS: dict[str, tuple[str, ...]] = {"ds1": DS1, "ds2": DS2, "nonpaced": NONPACED, "all": ALL}
"""Names that stand for lists of records in the configuration."""

SAME_SUBJECT: dict[str, str] = {"202": "201"}
"""Records of a person who already has another record, and that other record."""

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""WFDB annotation symbols that mark a beat; every other symbol (rhythm, noise, flutter wave) is not one."""

CLASSES: tuple[str, ...] = ("N", "S", "V", "F", "Q")

AAMI: dict[str, tuple[str, ...]] = {
    "N": ("N", "L", "R", "e", "j"),
    "S": ("A", "a", "J", "S"),
    "V": ("V", "E"),
    "F": ("F",),
    "Q": ("/", "f", "Q"),
}
"""AAMI EC57 class of each beat symbol. Some code counts ``e`` and ``j`` as S, so the map is an option."""

PUBLISHED_COUNTS: dict[str, tuple[int, ...]] = {
    "ds1": (45866, 944, 3788, 415, 8),
    "ds2": (44259, 1837, 3221, 388, 7),
    "nonpaced": (90125, 2781, 7009, 803, 15),
    "all": (90631, 2781, 7236, 803, 8043),
}
"""Beats in N, S, V, F, Q under ``AAMI``: what an exact loader must count (DS1 and DS2 as in de Chazal 2004)."""


def person_of(subject: str) -> str:
    """The person behind a subject name, so that a subject-disjoint split can keep a person's records together.

    The 44 non-paced records are 44 clients by custom, and subjects are therefore record names; but records 201 and
    202 are one man. Splits across subjects must compare ``person_of(subject)``, not the subject.

    Args:
        subject: a name from ``Samples.subjects``.

    Returns:
        The first record of the same person for MIT-BIH, and the name itself for everything else.

    >>> person_of("202"), person_of("201"), person_of("100")
    ('201', '201', '100')
    """
    return SAME_SUBJECT.get(subject, subject)
