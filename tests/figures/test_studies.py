"""Figures and tables of a study: every row where it belongs, intervals as written, exact zeros as zeros."""

import csv
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA

from bofl_jax.core.errors import BoflError
from bofl_jax.figures import FIGURES, Unavailable, draw
from bofl_jax.figures.studies.lines import label_by_arm, panel_by_protocol
from bofl_jax.results import read_study
from tests.figures.builders import ARMS, GENERATORS, build_study

HEAD = b'{"study": {"name": "a", "title": "b", "made_by": "c", "drawn": "d"}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_study(tmp_path_factory.mktemp("study") / "s")


@pytest.fixture(scope="module")
def study(folder):
    return read_study(folder)


@pytest.fixture(scope="module")
def written(folder):
    return json.loads((folder / "results.json").read_text())["rows"]


def make(name, study):
    return FIGURES[name].builders["study"](study)


def change(tmp_path, edit):
    """A study whose rows were edited."""
    folder = build_study(tmp_path / "s", beats=False, rounds=False)
    content = json.loads((folder / "results.json").read_text())
    content["rows"] = [row for row in content["rows"] if edit(row) is not False]
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def test_label_scarcity_has_a_line_an_arm_and_whiskers_as_written(study, written):
    drawing = make("label_scarcity", study)
    axis, below = drawing.figure.axes
    assert [text.get_text() for text in drawing.figure.legends[0].get_texts()] == [title for title, *_ in ARMS.values()]
    assert [label.get_text() for label in below.get_xticklabels()] == ["0", "0.5", "1", "2", "5", "15"]
    for line, whiskers, arm in zip(axis.lines, axis.collections, ARMS, strict=True):
        rows = [row["metrics"]["macro_f1"] for row in written if row["arm"] == arm and "minutes" in row["x"]]
        assert line.get_ydata().tolist() == [row["mean"] for row in rows]
        ends = [segment[:, 1].tolist() for segment in whiskers.get_segments()]
        assert ends == [row["interval"] for row in rows]


def test_differences_from_the_most_frequent_reference_are_below(study, written):
    """A line of each arm that has any, at the minutes where it has; the other arm is the line at zero."""
    below = make("label_scarcity", study).figure.axes[1]
    rows = [row for row in written if "minutes" in row["x"] and row.get("difference")]
    kinds = Counter((row["difference"]["metric"], row["difference"]["from"]) for row in rows)
    (metric, other), _ = kinds.most_common(1)[0]
    wanted = {}
    for row in rows:
        if (row["difference"]["metric"], row["difference"]["from"]) == (metric, other):
            wanted.setdefault(row["title"], []).append(row["difference"])
    zero, *lines = sorted(below.lines, key=lambda line: line.get_label() in wanted)
    assert set(zero.get_ydata()) == {0}
    assert {line.get_label(): line.get_ydata().tolist() for line in lines} == {
        title: [one["mean"] for one in found] for title, found in wanted.items()
    }
    ends = [segment[:, 1].tolist() for whiskers in below.collections for segment in whiskers.get_segments()]
    assert sorted(ends) == sorted(one["interval"] for found in wanted.values() for one in found)
    assert other in below.get_ylabel()


def test_the_natural_split_stands_apart_from_the_line(study):
    drawing = make("alpha", study)
    axis = drawing.figure.axes[0]
    lines = [line for line in axis.lines if line.get_label() in {title for title, *_ in ARMS.values()}]
    lengths = [len(line.get_xdata()) for line in lines]
    assert sorted(lengths) == [1] * 6 + [6] * 6
    assert [label.get_text() for label in drawing.figure.axes[-1].get_xticklabels()][-1] == "natural"
    assert len(drawing.figure.legends[0].get_texts()) == 6
    assert {row["alpha"] for row in drawing.rows} == {0.05, 0.1, 0.3, 1, 10, 1000, "natural"}


def test_dose_has_a_column_a_model_a_line_a_generator_and_levels_without_one(study):
    drawing = make("dose", study)["dose"]
    assert [axis.get_title() for axis in drawing.figure.axes[:2]] == ["global", "personalised"]
    assert len(drawing.figure.axes) == 6
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert labels == [*GENERATORS, "none", "class weights"]
    none = next(row for row in study.rows if (row.arm, row.model) == ("none", "personalised"))
    level = next(line for line in drawing.figure.axes[1].lines if line.get_label() == "none")
    assert set(level.get_ydata()) == {none.metrics["macro_f1"].mean}
    assert [label.get_text() for label in drawing.figure.axes[-1].get_xticklabels()] == [
        "0",
        "2",
        "5",
        "10",
        "20",
        "50",
    ]


def test_a_protocol_of_one_dose_has_no_figure_of_doses(study):
    kept = [row for row in study.rows if row.protocol == "dose" and (row.x["dose"] == 0.1 or not row.generator)]
    once = [replace(row, protocol="once") for row in kept]
    assert set(make("dose", replace(study, rows=(*study.rows, *once)))) == {"dose"}
    assert "several" in make("dose", replace(study, rows=tuple(once))).reason


def test_arms_of_one_generator_are_labelled_by_their_titles(tmp_path):
    folder = build_study(tmp_path / "s", beats=False, rounds=False)
    content = json.loads((folder / "results.json").read_text())
    twice = [row | {"title": f"{row['generator']}, uniform"} for row in content["rows"] if row.get("generator")]
    for row in content["rows"]:
        if row.get("generator"):
            row["title"] = f"{row['generator']}, need-based"
    content["rows"] = [row for row in content["rows"] + twice if row.get("generator") in (None, "smote")]
    (folder / "results.json").write_text(json.dumps(content))
    drawing = make("dose", read_study(folder))["dose"]
    assert {row["title"] for row in drawing.rows} >= {"smote, uniform", "smote, need-based"}
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert labels[:2] == ["smote, need-based", "smote, uniform"]


def test_an_arm_with_two_models_has_two_lines(study):
    rows = [row for row in study.rows if row.arm == "none"]
    assert {label_by_arm(rows)(row) for row in rows} == {"none, global", "none, personalised"}


def test_protocols_that_share_their_minutes_have_a_panel_each(study):
    rows = [row for row in study.rows if "minutes" in row.x]
    assert {panel_by_protocol(rows, "minutes")(row) for row in rows} == {""}
    both = rows + [replace(row, protocol=f"unseen {row.protocol}") for row in rows]
    assert len({panel_by_protocol(both, "minutes")(row) for row in both}) == 12


def test_methods_are_a_table_a_protocol_with_holms_p(study):
    made = make("methods", study)
    assert set(made) == set(study.protocols)
    table = made["P1"]
    assert table.header[-2:] == ("difference in macro-F1 from FedAvg + FT", "Holm p")
    reference = next(row for row in table.body if row[0] == "FedAvg + FT")
    assert reference[-2:] == ("", "")
    local = next(row for row in table.body if row[0] == "Local only")
    assert local[-1] == "0.060"
    assert local[-2].endswith("[-0.100, 0.100]")
    measured = next(row.metrics["macro_f1"] for row in study.rows if (row.protocol, row.arm) == ("P1", "local"))
    expected = f"{measured.mean:.3f} ± {measured.sd:.3f} [{measured.low:.3f}, {measured.high:.3f}]"
    assert expected in local
    assert local[table.header.index("ECE")] == "0.020"


def test_differences_from_several_arms_name_theirs(study):
    rows = [row for row in study.rows if row.protocol == "P1"]
    at = next(place for place, row in enumerate(rows) if row.difference)
    rows[at] = replace(rows[at], difference=replace(rows[at].difference, reference=rows[at].arm))
    table = make("methods", replace(study, rows=tuple(rows)))["P1"]
    assert table.header[-3:] == ("difference in macro-F1", "from", "Holm p")
    assert [row[-2] for row in table.body].count(rows[at].title) == 1
    assert "FedAvg + FT" in [row[-2] for row in table.body]


def test_the_ablation_prints_what_the_ledger_changes_exactly(study, tmp_path):
    table = make("ablation", study)
    assert len(table.body) == 8
    changed = [row[table.header.index("macro-F1, change by ledger")] for row in table.body]
    assert changed == ["", "0"] * 4

    def nudge(row):
        if row.get("factors") == {"ledger": True, "personalisation": False, "synthesis": True}:
            row["metrics"]["macro_f1"]["mean"] += 1e-12

    table = make("ablation", read_study(change(tmp_path, nudge)))
    changed = [row[table.header.index("macro-F1, change by ledger")] for row in table.body]
    (odd,) = {text for text in changed if text not in ("", "0")}
    np.testing.assert_allclose(float(odd), 1e-12, rtol=1e-3)  # 1e-16 of rounding in the difference


def test_rounds_show_the_written_bands(study, folder):
    drawing = make("rounds", study)
    assert [axis.get_title() for axis in drawing.figure.axes] == ["alpha 0.1", "alpha 1"]
    with (folder / "rounds.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["protocol"], row["arm"]) == ("alpha 1", "fedavg")]
    line = drawing.figure.axes[1].lines[1]
    assert line.get_ydata().tolist() == [float(row["macro_f1"]) for row in rows]
    assert len(drawing.rows) == 2 * 6 * 21


def test_projection_is_the_real_beats_principal_components(study, folder):
    drawing = make("fidelity", study)["projection"]
    with np.load(folder / "fidelity.npz") as file:
        real, label = file["real"].astype(np.float64), file["real_label"]
    expected = PCA(2, svd_solver="full").fit_transform(real)[label == 1]
    found = np.array([[r["first"], r["second"]] for r in drawing.rows if (r["set"], r["class"]) == ("real", "S")])
    np.testing.assert_allclose(found, expected, atol=1e-9)
    centred = real - real.mean(axis=0)
    share = np.linalg.svd(centred, compute_uv=False)[:2] ** 2 / np.sum(centred**2)
    assert f"({100 * share[0]:.0f} % and {100 * share[1]:.0f} % of their variance)" in drawing.caption


def test_beats_are_a_row_a_class_and_a_column_a_set(study):
    drawing = make("fidelity", study)["beats"]
    assert [axis.get_title() for axis in drawing.figure.axes[:3]] == ["real", "pca-gaussian", "diffusion"]
    assert len(drawing.figure.axes) == 9
    assert sum(row["beat"] == "mean" for row in drawing.rows) == 9


def test_a_study_without_the_data_has_no_such_figure(tmp_path):
    study = read_study(change(tmp_path, lambda row: not (row["x"] or row.get("factors")) and False))
    for name in ("alpha", "label_scarcity", "dose", "ablation", "methods", "rounds", "fidelity"):
        assert isinstance(make(name, study), Unavailable), name


def test_rows_without_the_scores_of_a_figure_are_skipped(tmp_path):
    study = read_study(change(tmp_path, lambda row: row.update(metrics={"accuracy": {"mean": 0.9}})))
    for name in ("alpha", "label_scarcity", "dose"):
        assert "has a macro_f1" in make(name, study).reason
    assert len(make("ablation", study).body) == 8
    assert "accuracy" in make("methods", study)["P1"].header


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.json", b"{"),
        ("results.json", b'{"rows": []}'),
        ("results.json", b'{"study": {"name": "a", "title": "b", "made_by": "c"}, "rows": []}'),
        ("results.json", HEAD + b', "rows": [{"protocol": "P1"}]}'),
        ("rounds.csv", b"protocol,arm\nP1,fedavg\n"),
        ("fidelity.npz", b"PK\x03\x04"),
    ],
)
def test_a_damaged_study_is_rejected_in_one_line(tmp_path, name, content):
    folder = build_study(tmp_path / "s")
    (folder / name).write_bytes(content)
    with pytest.raises(BoflError, match=f"{name} is damaged.*the experiment's own script") as caught:
        draw(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "figures").exists()


def test_beats_that_do_not_belong_together_are_rejected(tmp_path):
    folder = build_study(tmp_path / "s")
    with np.load(folder / "fidelity.npz") as file:
        arrays = dict(file)
    np.savez(folder / "fidelity.npz", **arrays | {"label_diffusion": arrays["label_diffusion"][:-1]})
    with pytest.raises(BoflError, match=r"fidelity\.npz is damaged .*diffusion has shape"):
        draw(folder)
