"""Gains in AUPRC and scores of generators: every number where it belongs, what is missing is said."""

import json

import matplotlib
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.figures import FIGURES, Unavailable, draw
from bofl_jax.figures.style import RC
from bofl_jax.results import read_study
from tests.figures.builders import GENERATORS, build_study, write_gains
from tests.figures.test_layout import check

AT_ONE_DOSE = 1 + 3 * len(GENERATORS)  # class weights, and every generator under three quotas


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = build_study(tmp_path_factory.mktemp("study") / "s", rounds=False)
    write_gains(folder)
    return folder


@pytest.fixture(scope="module")
def study(folder):
    return read_study(folder)


@pytest.fixture(scope="module")
def written(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(autouse=True)
def styled():
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **RC}):
        yield


def make(name, study):
    made = FIGURES[name].builders["study"](study)
    return made if isinstance(made, Unavailable) else made["dose"]


def change(tmp_path, edit):
    """A study whose results.json was edited."""
    folder = build_study(tmp_path / "s", beats=False, rounds=False)
    write_gains(folder)
    content = json.loads((folder / "results.json").read_text())
    edit(content)
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def test_gains_are_a_panel_a_class_and_a_bar_an_arm_and_model(study, written):
    axes = make("gains", study).figure.axes
    assert [axis.get_title(loc="left") for axis in axes] == ["AUPRC of S", "AUPRC of V", "AUPRC of F"]
    titles = [label.get_text() for label in axes[0].get_yticklabels()]
    assert len(titles) == AT_ONE_DOSE
    assert axes[0].get_ylim()[0] > axes[0].get_ylim()[1], "the first arm stands at the top"
    for axis, metric in zip(axes, ("auprc_S", "auprc_V", "auprc_F"), strict=True):
        for bars, whiskers, model in zip(axis.containers, axis.collections, ("global", "personalised"), strict=True):
            own = {row["title"]: row for row in written["rows"] if row["model"] == model and row["protocol"] == "dose"}
            own = {title: row for title, row in own.items() if row["dose"] == 0.1 or title == "class weights"}
            values = [own[title]["gains"]["metrics"][metric] for title in titles]
            # a bar's width is kept as its end less its start
            np.testing.assert_allclose([bar.get_width() for bar in bars], [one["mean"] for one in values], rtol=1e-12)
            places = [bar.get_y() + bar.get_height() / 2 for bar in bars]
            np.testing.assert_array_equal(np.round(places), np.arange(AT_ONE_DOSE))
            ends = [segment[:, 0].tolist() for segment in whiskers.get_segments()]
            assert ends == [one["interval"] for one in values]


def test_gains_show_the_dose_that_most_arms_have_and_the_csv_all(study):
    drawing = make("gains", study)
    assert "Synthetic samples at most 10 % of a client's own. " in drawing.caption
    assert "10 seeds and 43 people a point; 32 rows of headline" in drawing.caption
    assert "The CSV file has the other doses too." in drawing.caption
    assert "less that of `none`" in drawing.caption
    arms = 1 + (5 + 3) * len(GENERATORS)  # five other doses
    assert len(drawing.rows) == arms * 2 * 3
    assert {row["metric"] for row in drawing.rows} == {"auprc_S", "auprc_V", "auprc_F"}


def test_an_undefined_gain_is_marked_in_its_place(tmp_path):
    def lose(content):
        for row in content["rows"]:
            if row.get("gains") and row["title"] == "class weights":
                row["gains"]["metrics"]["auprc_F"] = {"mean": None, "interval": None}

    axes = make("gains", read_study(change(tmp_path, lose))).figure.axes
    assert [len(axis.texts) for axis in axes] == [0, 0, 2]
    assert [len(axis.containers[0]) for axis in axes] == [AT_ONE_DOSE, AT_ONE_DOSE, AT_ONE_DOSE - 1]


@pytest.mark.parametrize("figure", ["gains", "dose"])
def test_a_generator_without_used_batches_is_named(tmp_path, figure):
    def refuse(content):
        for row in content["rows"]:
            row["outcome"] = {"used": 0.0 if row.get("generator") == "smote" else 3.5}

    caption = make(figure, read_study(change(tmp_path, refuse))).caption
    assert " No batch was used of smote: the scores are those without. " in caption


def test_an_unknown_number_of_used_samples_is_not_mentioned(study):
    assert "No batch was used" not in make("gains", study).caption


def test_without_doses_every_arm_is_drawn(tmp_path):
    def forget(content):
        for row in content["rows"]:
            row.pop("dose", None)

    drawing = make("gains", read_study(change(tmp_path, forget)))
    assert len(drawing.figure.axes[0].get_yticklabels()) == len({row["title"] for row in drawing.rows})
    assert "Synthetic samples at most" not in drawing.caption


def test_generators_are_a_panel_a_score_and_a_dot_a_class(study, written):
    axes = make("generators", study).figure.axes
    shown = ("discriminative", "utility", "diversity", "distance", "membership")
    assert [axis.get_xlabel().split()[0] for axis in axes] == list(shown)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == list(GENERATORS)
    for axis, score in zip(axes, shown, strict=True):
        dots = {line.get_label(): line for line in axis.lines if line.get_label() in ("S", "V", "F")}
        assert list(dots) == ["S", "V", "F"]
        for label, line in dots.items():
            found = dict(zip(np.round(line.get_ydata()).astype(int), line.get_xdata(), strict=True))
            values = [one["scores"][score] for one in written["generators"] if one["class"] == label]
            assert found == {place: value for place, value in enumerate(values) if value is not None}


def test_goals_are_lines_and_membership_has_whiskers(study, written):
    drawing = make("generators", study)
    dashed = {
        axis.get_xlabel(): line.get_xdata()[0]
        for axis in drawing.figure.axes
        for line in axis.lines
        if line.get_linestyle() == "--"
    }
    assert dashed == {"utility ratio": 0.9, "membership AUC": 0.55}
    assert "goals, utility ratio 0.90 and membership AUC 0.55" in drawing.caption
    assert not any(axis.collections for axis in drawing.figure.axes[:-1])
    ends = np.concatenate([c.get_segments() for c in drawing.figure.axes[-1].collections if len(c.get_segments())])
    values = [one["scores"]["membership"] for name in "SV" for one in written["generators"] if one["class"] == name]
    expected = np.array([value for value in values if value is not None])
    np.testing.assert_allclose(ends[:, :, 0], expected[:, None] + 1.96 * 0.05 * np.array([-1, 1]), rtol=1e-12)


def test_a_missing_score_is_named_and_empty_in_the_csv(study):
    drawing = make("generators", study)
    assert "Not judged, hence left out (discriminative, diversity, distance: smote S/V/F; " in drawing.caption
    others = ", ".join(f"{name} {'S/V/F' if name == 'smote' else 'F'}" for name in GENERATORS)
    assert f"utility, membership: {others}). " in drawing.caption
    (row,) = (row for row in drawing.rows if (row["generator"], row["class"]) == ("timegan", "F"))
    assert np.isnan(row["utility"])
    assert row["seeds"] == 10
    assert len(drawing.rows) == 3 * len(GENERATORS)


def test_a_class_has_the_colour_that_it_has_among_the_beats(study):
    beats = FIGURES["fidelity"].builders["study"](study)["projection"].figure.axes[0]
    scores = make("generators", study).figure.axes[0]
    colour = [{line.get_label(): line.get_color() for line in axis.lines} for axis in (beats, scores)]
    assert all(colour[0][name] == colour[1][name] for name in ("S", "V"))


def test_nothing_is_clipped_or_covered(study):
    for name in ("gains", "generators"):
        check(name, make(name, study).figure)


def test_files_carry_the_protocol(tmp_path):
    def only_these(content):
        content["rows"] = [row | {"x": {}} for row in content["rows"] if row["protocol"] == "dose"]

    written = {path.name for path in draw(change(tmp_path, only_these))}
    for name in ("gains_dose", "generators_dose"):
        assert {f"{name}.{form}" for form in ("png", "pdf", "csv", "txt")} <= written


def test_a_study_without_them_has_neither(tmp_path):
    study = read_study(build_study(tmp_path / "s", beats=False, rounds=False))
    assert make("gains", study) == Unavailable("no row has gains in AUPRC")
    assert make("generators", study) == Unavailable("the gates judged no generator")

    def nothing(content):
        for one in content["generators"]:
            one["scores"] = dict.fromkeys(one["scores"])

    assert isinstance(make("generators", read_study(change(tmp_path / "t", nothing))), Unavailable)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.update(generators=[{"protocol": "P1"}]),
        lambda content: content.update(generators=5),
        lambda content: content["generators"][0].update(scores=[0.5]),
        lambda content: content["generators"][0]["scores"].update(utility="good"),
        lambda content: content["rows"][-1].update(gains=[1]),
        lambda content: content["rows"][-1]["gains"].pop("from"),
        lambda content: content["rows"][-1]["gains"]["metrics"].update(auprc_S=0.1),
        lambda content: content["rows"][-1]["gains"]["metrics"]["auprc_S"].update(interval=[1, 2, 3]),
    ],
)
def test_damage_is_rejected_in_one_line(tmp_path, damage):
    with pytest.raises(BoflError, match=r"results\.json is damaged.*the experiment's own script") as caught:
        read_study(change(tmp_path, damage))
    assert "\n" not in str(caught.value)
