"""The table of groups of people: what was written, class by class, and how few the people are."""

import json

from bofl_jax.figures import FIGURES, Unavailable
from bofl_jax.results import read_run
from tests.figures.grouped import add_groups

MODELS = ("global", "personalised")


def make(folder):
    return FIGURES["groups"].builders["run"](read_run(folder))


def test_without_groups_there_is_no_table(finished_run):
    assert make(finished_run) == Unavailable("groups of people were not compared")


def test_the_table_has_what_was_written(copy):
    add_groups(copy)
    written, table = json.loads((copy / "summary.json").read_text())["fairness"], make(copy)
    assert [(row["class"], row["model"]) for row in table.rows] == [
        (name, model) for name in "NSVF" for model in MODELS
    ]
    for row in table.rows:
        found = written[row["model"]]["groups"]
        for group in ("F", "M"):
            of_class = found["by_group"][group]["per_class"][row["class"]]
            for of in ("people", "samples"):
                assert row[f"{group} {of}"] == of_class[of]
            assert row[f"{group} recall"] == of_class["recall"] is not None
        assert row["equal-opportunity gap"] == found["equal_opportunity_gap"][row["class"]] is not None
    assert "F: 21 people, " in table.caption
    assert f"nothing is known of their sex: {found['samples_in_no_group']:,} samples" in table.caption


def test_a_class_without_samples_in_a_group_is_an_empty_cell(copy):
    add_groups(copy)
    path = copy / "summary.json"
    summary = json.loads(path.read_text())
    for model in MODELS:
        groups = summary["fairness"][model]["groups"]
        groups["by_group"]["F"]["per_class"]["S"] = {"people": 0, "samples": 0, "recall": None}
        groups["by_group"]["M"]["per_class"]["S"] |= {"people": 1, "samples": 1234, "recall": 0.5}
        groups["equal_opportunity_gap"]["S"] = None
    path.write_text(json.dumps(summary))
    table = make(copy)
    assert table.header == ("class", "model", "recall, F", "recall, M", "gap")
    assert [row[2:] for row in table.body if row[0] == "S"] == [("", "0.500 (1 person, 1,234)", "")] * 2
