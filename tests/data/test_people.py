"""Age and sex from record headers, real ones and made-up ones, and the groups that follow."""

import re

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.data import DS1, DS2, SOURCES, MitbihOptions, NpzOptions, Person, describing, group_people, groups_of
from bofl_jax.data.ecg.records import ALL
from bofl_jax.data.people import parse_person


@pytest.mark.parametrize(
    ("comments", "person"),
    [
        (["69 M 1085 1629 x1", "Aldomet, Inderal"], Person(69, "M")),
        (["23 F 2546 N/A x1"], Person(23, "F")),
        (["-1 M 742 654 x1"], Person(None, "M")),
        (["-1 -1 742 654 x1"], Person(None, None)),
        (["69 ? 1085"], Person(69, None)),
        (["  0 F"], Person(0, "F")),
        (["Digoxin", "75 F 1011 654 x1", "12 M 1"], Person(75, "F")),
        (["Digoxin 0.25 mg", "75"], Person()),
        ([], Person()),
    ],
)
def test_a_comment_says_age_and_sex(comments, person):
    assert parse_person(comments) == person


def test_the_real_headers_say_what_their_lines_say(mitdb):
    """Against the text of the files, read without wfdb."""
    options = MitbihOptions(root=mitdb)
    sex, age = (groups_of(options, ALL, attribute) for attribute in ("sex", "age"))
    assert (sex.names, age.names) == (("F", "M"), ("under 65", "65 and over"))
    for place, record in enumerate(ALL):
        first = next(line for line in (mitdb / f"{record}.hea").read_text().splitlines() if line.startswith("#"))
        years, letter = first.split()[1:3]
        assert sex.names[sex.of[place]] == letter
        expected = None if years == "-1" else "under 65" if int(years) < 65 else "65 and over"
        assert (None if age.of[place] < 0 else age.names[age.of[place]]) == expected
    assert [record for record, group in zip(ALL, age.of, strict=True) if group < 0] == ["103", "219"]


def test_the_counts_of_the_directory(mitdb):
    """47 people: 22 women and 25 men (Moody & Mark 2001); record 202 is the man of 201."""
    people = [record for record in ALL if record != "202"]
    sex = groups_of(MitbihOptions(root=mitdb), people, "sex")
    assert np.bincount(sex.of).tolist() == [22, 25]
    customary = [record for record in sorted(DS1 + DS2) if record != "202"]
    age = groups_of(MitbihOptions(root=mitdb), customary, "age").of
    assert [int((age == group).sum()) for group in (-1, 0, 1)] == [2, 20, 21]


def test_who_is_unknown_is_in_no_group():
    people = [Person(64, "F"), Person(None, "M"), Person(65, None), Person(89, "M")]
    assert group_people(people, "age").of.tolist() == [0, -1, 1, 1]
    assert group_people(people, "sex").of.tolist() == [0, 1, -1, 1]
    assert group_people(people, "sex").of.dtype == np.int32


def test_nobody_known_is_refused():
    with pytest.raises(BoflError, match=r"the age of no subject is known: set evaluate\.groups = 'none'"):
        group_people([Person(None, "M"), Person()], "age")


def test_another_attribute_is_refused():
    with pytest.raises(BoflError, match="no groups of people by 'height': choose one of sex, age"):
        group_people([Person(64, "F")], "height")


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_says_who_its_people_are_or_that_it_does_not(name, tmp_path):
    """Sources that do are refused for their missing files, all others in a line that names those that do."""
    kind = SOURCES[name].options
    options = kind(root=tmp_path / "nowhere") if "root" in kind.model_fields else kind()
    message = "nowhere" if name in describing() else f"data.source = '{name}' does not say who its people are: only"
    with pytest.raises(BoflError, match=re.escape(message)):
        groups_of(options, ["100"], "sex")
    assert "mitbih" in describing()
    assert NpzOptions.model_fields["source"].annotation.__args__[0] not in describing()


@pytest.mark.parametrize("damage", ["missing", "nonsense"])
def test_a_bad_header_is_named(tmp_path, damage):
    if damage == "nonsense":
        (tmp_path / "100.hea").write_text("nonsense\n")
    with pytest.raises(BoflError, match=r"100\.hea.*bofl data fetch mitbih"):
        groups_of(MitbihOptions(root=tmp_path), ["100"], "sex")
