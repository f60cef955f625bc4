"""Figures and tables of a sweep: means and intervals over seeds, lines by the other keys, nothing averaged unseen."""

import csv
import json

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.figures import FIGURES, Unavailable, draw
from bofl_jax.results import read_sweep
from tests.figures.builders import build_sweep

SEEDS = {"seed": [0, 1, 2]}
ALPHA = {"partition.alpha": [1.0, 0.1, 10.0]}
METHOD = {"federation.algorithm": ["fedavg", "ditto"]}


def make(name, folder):
    return FIGURES[name].builders["sweep"](read_sweep(folder))


def table(folder):
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_alpha_shows_a_line_a_method_with_the_mean_of_its_seeds(tmp_path):
    folder = build_sweep(tmp_path / "s", SEEDS | METHOD | ALPHA)
    drawing = make("alpha", folder)
    axis = drawing.figure.axes[1]
    assert axis.get_xscale() == "log"
    assert [text.get_text() for text in drawing.figure.legends[0].get_texts()] == ["fedavg", "ditto"]
    for line, method in zip(axis.lines, ("fedavg", "ditto"), strict=True):
        assert line.get_xdata().tolist() == [0.1, 1, 10]
        expected = [
            np.mean(
                [
                    float(row["test.personalised.macro_f1"])
                    for row in table(folder)
                    if (row["federation.algorithm"], float(row["partition.alpha"])) == (method, alpha)
                ]
            )
            for alpha in (0.1, 1, 10)
        ]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-12)
    assert "3 seeds a point, 18 runs." in drawing.caption


def test_numbers_of_other_keys_are_lines_of_their_own(tmp_path):
    folder = build_sweep(tmp_path / "s", ALPHA | {"optimizer.lr": [0.1, 0.2]})
    drawing = make("alpha", folder)
    assert [text.get_text() for text in drawing.figure.legends[0].get_texts()] == ["lr 0.1", "lr 0.2"]
    assert "a point of one seed has no interval" in drawing.caption
    assert not any(np.isfinite(row["low"]) for row in drawing.rows)
    (other,) = make("key", folder).values()
    assert other.figure.axes[-1].get_xlabel() == "optimizer.lr"


def test_lines_beyond_the_number_of_styles_are_mentioned_and_in_the_csv(tmp_path):
    folder = build_sweep(tmp_path / "s", ALPHA | {"federation.algorithm": [f"method{n}" for n in range(10)]})
    drawing = make("alpha", folder)
    assert len(drawing.figure.legends[0].get_texts()) == 8
    assert "The first 8 of 10 lines are drawn; the CSV file has all." in drawing.caption
    assert len({row["line"] for row in drawing.rows}) == 10


@pytest.mark.parametrize(
    ("name", "grid", "scale"),
    [
        ("label_scarcity", {"partition.train_minutes": [0.5, 1.0, 15.0]}, "linear"),
        ("dose", {"synthesis.dose": [0.02, 0.1]}, "linear"),
        ("privacy", {"privacy.epsilon": [1, 8]}, "log"),
    ],
)
def test_a_key_has_its_own_figure(name, grid, scale, tmp_path):
    folder = build_sweep(tmp_path / "s", SEEDS | grid)
    drawing = make(name, folder)
    assert drawing.figure.axes[0].get_xscale() == scale
    assert make("key", folder) == Unavailable("the grid has no other number")
    assert make("alpha", folder) == Unavailable("the grid has no such key")


def test_doses_are_printed_in_per_cent(tmp_path):
    drawing = make("dose", build_sweep(tmp_path / "s", SEEDS | {"synthesis.dose": [0.5, 0.02, 0.1]}))
    assert [label.get_text() for label in drawing.figure.axes[-1].get_xticklabels()] == ["2", "10", "50"]
    assert {row["synthesis.dose"] for row in drawing.rows} == {0.02, 0.1, 0.5}


def test_clients_and_altered_updates_show_costs_too(tmp_path):
    folder = build_sweep(tmp_path / "s", SEEDS | {"partition.clients": [10, 100], "adversary.altered": [0.1, 0.4]})
    assert set(make("scaling", folder)) == {"scores", "costs"}
    refused = make("adversaries", folder)["costs"]
    np.testing.assert_allclose([row["mean"] for row in refused.rows], 0.1)  # 10 of 100 updates in every member


def test_words_alone_give_no_figure_against_a_number_but_rounds_and_points(tmp_path):
    folder = build_sweep(tmp_path / "s", SEEDS | METHOD)
    assert isinstance(make("key", folder), Unavailable)
    assert isinstance(make("alpha", folder), Unavailable)
    names = {path.stem for path in draw(folder)}
    assert names == {"rounds", "points", "captions"}


def test_rounds_are_means_over_seeds_with_bands(tmp_path):
    folder = build_sweep(tmp_path / "s", SEEDS | METHOD)
    drawing = make("rounds", folder)
    first = [row["member"] for row in table(folder) if row["federation.algorithm"] == "fedavg"]
    lines = [[json.loads(line) for line in (folder / name / "rounds.jsonl").read_text().splitlines()] for name in first]
    expected = np.mean([[line["loss"] for line in one] for one in lines], axis=0)
    np.testing.assert_allclose(drawing.figure.axes[1].lines[0].get_ydata(), expected, rtol=1e-12)
    assert len(drawing.figure.axes[0].collections) == 2


def test_rounds_have_a_panel_an_alpha_where_something_else_varies_too(tmp_path):
    both = make("rounds", build_sweep(tmp_path / "both", METHOD | ALPHA))
    assert [axis.get_title() for axis in both.figure.axes[:3]] == ["alpha 0.1", "alpha 1", "alpha 10"]
    alone = make("rounds", build_sweep(tmp_path / "alone", ALPHA))
    assert len(alone.figure.axes) == 2


def test_points_are_a_row_a_point_and_model(tmp_path):
    folder = build_sweep(tmp_path / "s", SEEDS | METHOD | ALPHA)
    found = make("points", folder)
    assert len(found.body) == 2 * 3 * 2
    assert found.header[:4] == ("algorithm", "alpha", "model", "seeds")
    values = [float(row["test.global.accuracy"]) for row in table(folder)][::6]  # the first point's, seed by seed
    np.testing.assert_allclose(found.rows[0]["accuracy"], np.mean(values))
    np.testing.assert_allclose(found.rows[0]["accuracy sd"], np.std(values, ddof=1))


def test_failed_members_are_left_out_and_counted(tmp_path):
    folder = build_sweep(tmp_path / "s", SEEDS | ALPHA, failed=2)
    assert "2 runs failed or missing, and left out" in make("alpha", folder).caption
    assert "2 to 3 seeds a point" in make("points", folder).caption


def test_members_whose_directories_are_elsewhere_have_no_rounds(tmp_path):
    folder = build_sweep(tmp_path / "s", SEEDS)
    for member in folder.glob("member*"):
        (member / "rounds.jsonl").unlink()
        member.rmdir()
    assert isinstance(make("rounds", folder), Unavailable)
    assert len(make("points", folder).body) == 2


def test_a_sweep_of_which_nothing_is_complete_is_rejected(tmp_path):
    with pytest.raises(BoflError, match=r"no member of .* is complete.*--resume"):
        draw(build_sweep(tmp_path / "s", ALPHA, failed=3))


@pytest.mark.parametrize("content", [b"", b"member,status\n", b"{}", b"\xff\xfe\x00"])
def test_a_damaged_table_is_rejected(tmp_path, content):
    folder = build_sweep(tmp_path / "s", ALPHA)
    (folder / "sweep.csv").write_bytes(content)
    with pytest.raises(BoflError, match=r"sweep\.csv.*|no member"):
        draw(folder)
    assert not (folder / "figures").exists()
