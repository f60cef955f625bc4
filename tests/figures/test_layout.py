"""No legend covers data, nothing is clipped, no two tick labels run into each other: measured on every figure."""

import itertools
import shutil

import matplotlib
import pytest
from matplotlib.text import Text

from bofl_jax.figures import FIGURES, Drawing, style
from bofl_jax.figures.registry import READERS, kind_of
from bofl_jax.figures.style import RC
from bofl_jax.results import read_run
from tests.figures.builders import (
    SYNTHESIS,
    build_study,
    build_sweep,
    write_config,
    write_explanations,
    write_requests,
)

SLACK = 1.0  # pixels of a text's box that may stand beyond an edge: boxes are rounded outwards


def drawings(folder):
    """Every figure of a directory by its name."""
    kind = kind_of(folder)
    read = READERS[kind](folder)
    for name, entry in FIGURES.items():
        made = entry.builders[kind](read) if kind in entry.builders else {}
        for part, one in (
            {"": made} if isinstance(made, Drawing) else dict(made) if isinstance(made, dict) else {}
        ).items():
            if isinstance(one, Drawing):
                yield f"{name} {part}", one.figure


def check(name, figure):
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    edge = figure.bbox.padded(SLACK)
    for text in filter(Text.get_text, shown(figure)):
        box = text.get_window_extent(renderer)
        assert edge.contains(box.x0, box.y0), f"{name}: {text.get_text()!r} is clipped"
        assert edge.contains(box.x1, box.y1), f"{name}: {text.get_text()!r} is clipped"
    for legend, axis in itertools.product(figure.legends, figure.axes):
        assert not legend.get_window_extent(renderer).overlaps(axis.get_window_extent(renderer)), f"{name}: legend"
    for axis in figure.axes:
        for labels in (tick_labels(axis.xaxis), tick_labels(axis.yaxis)):
            boxes = [label.get_window_extent(renderer) for label in labels]
            assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2)), f"{name}: tick labels"


def shown(figure):
    """Every text that is drawn."""
    for legend in figure.legends:
        yield from legend.get_texts()
    for axis in figure.axes:
        yield from tick_labels(axis.xaxis)
        yield from tick_labels(axis.yaxis)
        if axis.axison:
            yield from (axis.xaxis.label, axis.yaxis.label)
        yield from (axis.title, axis._left_title, axis._right_title, *axis.texts)


def tick_labels(axis):
    """Labels of the ticks within the axis' limits; others are not drawn."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high and axis.axes.axison]
    return [tick.label1 for tick in ticks if tick.label1.get_visible() and tick.label1.get_text()]


@pytest.fixture(autouse=True)
def styled():
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **RC}):
        yield


def test_figures_of_a_run(finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    write_explanations(folder, 5)
    write_requests(folder)
    write_config(folder, synthesis=SYNTHESIS)
    found = dict(drawings(folder))
    assert len(found) == 11
    for name, figure in found.items():
        check(name, figure)


@pytest.mark.parametrize("clients", [1, 300])
def test_figures_of_small_and_large_runs(make_run, tmp_path, clients):
    folder = make_run(tmp_path / "run", clients=clients, rounds=1 if clients == 1 else 400, classes=tuple("NSVFQ"))
    assert read_run(folder)
    for name, figure in drawings(folder):
        check(name, figure)


@pytest.mark.parametrize(
    "grid",
    [
        {
            "seed": [0, 1],
            "federation.algorithm": ["fedavg", "ditto", "perfedavg"],
            "partition.alpha": [0.05, 0.1, 1, 10, 1e3],
        },
        {"synthesis.dose": [0.02, 0.05, 0.1, 0.2, 0.5], "federation.algorithm": [f"a long name {n}" for n in range(9)]},
        {"seed": [0, 1, 2], "partition.clients": [5, 10, 100, 1000], "partition.train_minutes": [0.5, 1.0]},
    ],
)
def test_figures_of_sweeps(grid, tmp_path):
    for name, figure in drawings(build_sweep(tmp_path / "s", grid)):
        check(name, figure)


def test_figures_of_a_study(tmp_path):
    found = dict(drawings(build_study(tmp_path / "s")))
    assert len(found) == 6
    for name, figure in found.items():
        check(name, figure)


def test_all_series_differ_in_colour_marker_and_line_style():
    styles = style.series_styles([str(n) for n in range(style.MAX_SERIES)])
    assert len(styles) == style.MAX_SERIES
    for part in ("color", "marker", "linestyle", "hatch"):
        assert len({getattr(series, part) for series in styles}) == style.MAX_SERIES


def test_the_layout_check_finds_overlapping_texts():
    figure, (axis,) = style.stacked_panels(1, 2)
    axis.plot([0, 1], label="line")
    axis.set_title("a title that is far too long for a column of the page, whatever the layout does about it")
    with pytest.raises(AssertionError, match="clipped"):
        check("title", figure)
    axis.set_title("")
    axis.set_xticks([0, 0.01], ["one", "two"])
    with pytest.raises(AssertionError, match="tick labels"):
        check("ticks", figure)
    axis.set_xticks([0, 1])
    figure.legend(loc="center")
    with pytest.raises(AssertionError, match="legend"):
        check("legend", figure)
