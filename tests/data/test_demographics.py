"""Age and sex from record headers, real and constructed, and the groups that follow."""

import re

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.data import (
    DS1,
    DS2,
    SOURCES,
    Demographics,
    MitbihOptions,
    NpzOptions,
    demographic_groups,
    group_by_attribute,
    sources_with_demographics,
)
from bofl_jax.data.ecg.mitbih import parse_demographics
from bofl_jax.data.ecg.mitbih_records import ALL


@pytest.mark.parametrize(
    ("comments", "person"),
    [
        (["69 M 1085 1629 x1", "Aldomet, Inderal"], Demographics(69, "M")),
        (["23 F 2546 N/A x1"], Demographics(23, "F")),
        (["-1 M 742 654 x1"], Demographics(None, "M")),
        (["-1 -1 742 654 x1"], Demographics(None, None)),
        (["69 ? 1085"], Demographics(69, None)),
        (["  0 F"], Demographics(0, "F")),
        (["Digoxin", "75 F 1011 654 x1", "12 M 1"], Demographics(75, "F")),
        (["Digoxin 0.25 mg", "75"], Demographics()),
        ([], Demographics()),
    ],
)
def test_age_and_sex_are_parsed_from_comments(comments, person):
    assert parse_demographics(comments) == person


def test_the_groups_of_the_real_headers_follow_their_text(mitdb):
    """Compared with the text of the files, read without wfdb."""
    options = MitbihOptions(root=mitdb)
    sex, age = (demographic_groups(options, ALL, attribute) for attribute in ("sex", "age"))
    assert (sex.names, age.names) == (("F", "M"), ("under 65", "65 and over"))
    for number, record in enumerate(ALL):
        first = next(line for line in (mitdb / f"{record}.hea").read_text().splitlines() if line.startswith("#"))
        years, letter = first.split()[1:3]
        assert sex.names[sex.subject_group[number]] == letter
        expected = None if years == "-1" else "under 65" if int(years) < 65 else "65 and over"
        assert (None if age.subject_group[number] < 0 else age.names[age.subject_group[number]]) == expected
    assert [record for record, group in zip(ALL, age.subject_group, strict=True) if group < 0] == ["103", "219"]


def test_the_counts_are_those_of_the_directory(mitdb):
    """47 persons, 22 women and 25 men (Moody & Mark 2001); records 201 and 202 are of one man."""
    people = [record for record in ALL if record != "202"]
    sex = demographic_groups(MitbihOptions(root=mitdb), people, "sex")
    assert np.bincount(sex.subject_group).tolist() == [22, 25]
    customary = [record for record in sorted(DS1 + DS2) if record != "202"]
    age = demographic_groups(MitbihOptions(root=mitdb), customary, "age").subject_group
    assert [int((age == group).sum()) for group in (-1, 0, 1)] == [2, 20, 21]


def test_a_subject_with_an_unknown_attribute_is_in_no_group():
    people = [Demographics(64, "F"), Demographics(None, "M"), Demographics(65, None), Demographics(89, "M")]
    assert group_by_attribute(people, "age").subject_group.tolist() == [0, -1, 1, 1]
    assert group_by_attribute(people, "sex").subject_group.tolist() == [0, 1, -1, 1]
    assert group_by_attribute(people, "sex").subject_group.dtype == np.int32


def test_an_attribute_unknown_for_all_subjects_is_refused():
    with pytest.raises(BoflError, match=r"the age of no subject is known: set evaluate\.groups = 'none'"):
        group_by_attribute([Demographics(None, "M"), Demographics()], "age")


def test_an_unknown_attribute_is_refused():
    with pytest.raises(BoflError, match="no groups of people by 'height': choose one of sex, age"):
        group_by_attribute([Demographics(64, "F")], "height")


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_gives_demographics_or_an_error_names_those_that_do(name, tmp_path):
    """Sources with demographics miss their files here; all others give a line that names those with demographics."""
    kind = SOURCES[name].options
    options = kind(root=tmp_path / "nowhere") if "root" in kind.model_fields else kind()
    message = (
        "nowhere"
        if name in sources_with_demographics()
        else f"data.source = '{name}' gives no age and sex of its subjects: only"
    )
    with pytest.raises(BoflError, match=re.escape(message)):
        demographic_groups(options, ["100"], "sex")
    assert "mitbih" in sources_with_demographics()
    assert NpzOptions.model_fields["source"].annotation.__args__[0] not in sources_with_demographics()


@pytest.mark.parametrize("damage", ["missing", "nonsense"])
def test_a_damaged_header_is_named(tmp_path, damage):
    if damage == "nonsense":
        (tmp_path / "100.hea").write_text("nonsense\n")
    with pytest.raises(BoflError, match=r"100\.hea.*bofl data fetch mitbih"):
        demographic_groups(MitbihOptions(root=tmp_path), ["100"], "sex")
