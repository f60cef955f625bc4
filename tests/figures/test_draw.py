"""Whole directories: what is written, that it repeats to the byte, and what is left out with which words."""

import csv
import json
import re
import shutil
import struct
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.figures import FIGURES, Unavailable, draw
from bofl_jax.figures.registry import kind_of
from bofl_jax.results import read_run
from tests.figures.builders import (
    SYNTHESIS,
    build_benchmarks,
    build_study,
    build_sweep,
    write_config,
    write_explanations,
    write_requests,
)
from tests.figures.grouped import add_groups

TABLES = {"summary", "classes", "groups", "points", "methods", "ablation", "data"}
OF_A_RUN = {name for name, entry in FIGURES.items() if "run" in entry.builders}
GRID = {"seed": [0, 1, 2], "federation.algorithm": ["fedavg", "ditto"], "partition.alpha": [0.1, 1.0]}


@pytest.fixture(scope="module")
def full_run(finished_run, tmp_path_factory):
    """A run that has data for everything that can be made of a run."""
    folder = shutil.copytree(finished_run, tmp_path_factory.mktemp("full") / "run")
    write_explanations(folder)
    write_requests(folder)
    add_groups(folder)
    return write_config(folder, synthesis=SYNTHESIS)


@pytest.fixture(scope="module")
def drawn(full_run, tmp_path_factory):
    """Every file that one drawing wrote, by name."""
    out = tmp_path_factory.mktemp("drawn")
    return {path.name: path.read_bytes() for path in draw(full_run, out)}


def files(name):
    return {
        f"{name}.{form}" for form in (("md", "tex", "csv", "txt") if name in TABLES else ("png", "pdf", "csv", "txt"))
    }


def test_everything_of_a_run_is_written_in_all_its_forms(drawn):
    assert set(drawn) == {"captions.md"}.union(*map(files, OF_A_RUN))


def test_figures_are_written_into_the_run_by_default(copy):
    written = draw(copy)
    assert set(written) == set((copy / "figures").iterdir())


def test_png_has_200_dots_per_inch_and_the_width_of_a_column_or_a_page(drawn):
    widths = set()
    for name, data in drawn.items():
        if name.endswith(".png"):
            widths.add(struct.unpack(">I", data[16:20])[0])
            at = data.index(b"pHYs") + 4
            assert struct.unpack(">I", data[at : at + 4])[0] == round(200 / 0.0254)
    assert widths == {680, 1400}, "3.4 and 7 inches"


def test_fonts_are_embedded_as_true_type(drawn):
    pages = [data for name, data in drawn.items() if name.endswith(".pdf")]
    assert all(b"/FontFile2" in page and b"/Type3" not in page for page in pages)


def test_same_files_give_the_same_bytes_in_another_process_and_folder(drawn, full_run, tmp_path):
    script = "import sys; from pathlib import Path; from bofl_jax.figures import draw; draw(*map(Path, sys.argv[1:]))"
    environment = {"PYTHONHASHSEED": "7", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    moved, other = shutil.copytree(full_run, tmp_path / "moved"), tmp_path / "other" / "place"
    subprocess.run([sys.executable, "-c", script, str(moved), str(other)], check=True, env=environment)
    assert {path.name: path.read_bytes() for path in other.iterdir()} == drawn


def test_the_callers_matplotlib_settings_neither_matter_nor_change(drawn, full_run, tmp_path):
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert {path.name: path.read_bytes() for path in draw(full_run, tmp_path)} == drawn
        assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_imported():
    code = "import sys, bofl_jax.figures; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_captions_are_in_one_file_and_alone_and_have_sample_sizes(drawn):
    together = drawn["captions.md"].decode()
    for name in OF_A_RUN - {"explanations", "ledger", "synthesis"}:
        caption = drawn[f"{name}.txt"].decode().strip()
        assert caption in together
        assert "44 clients, 44 people and" in caption
    for name in OF_A_RUN:
        assert f"**{name}** ({FIGURES[name].title}). " in together


def test_every_number_of_a_csv_can_be_read_back(drawn):
    for name, data in drawn.items():
        if name.endswith(".csv"):
            rows = list(csv.DictReader(data.decode().splitlines()))
            assert rows, name
            assert not any("nan" in row.values() or None in row for row in rows), name


def test_an_entry_without_data_is_left_out_in_one_line_that_names_how_to_make_them(make_run, tmp_path):
    said = []
    written = draw(make_run(tmp_path / "off", clients=5, rounds=3, mode="off"), warn=said.append)
    assert "ledger left out: ledger off; run with ledger.mode = 'merkle'" in said
    *lacking, others = said
    left_out = {line.partition(" left out: ")[0] for line in lacking}
    assert all(line.endswith(FIGURES[line.split(" ")[0]].how_to_make) and "\n" not in line for line in lacking)
    names = others.removeprefix("not of a run: ").removesuffix("; bofl figures --list says what makes them")
    assert set(names.split(", ")) == {name for name, entry in FIGURES.items() if "run" not in entry.builders}
    assert left_out | set(names.split(", ")) == set(FIGURES) - {path.stem for path in written}


def test_a_run_without_results_has_no_figures_and_a_reason_for_each(copy):
    (copy / "rounds.jsonl").write_text('{"round": 1, "loss": null}\n')
    (copy / "clients.csv").write_text("client,global_accuracy,personalised_accuracy\na,,\n")
    (copy / "summary.json").write_text('{"test": {"global": null, "personalised": null}, "ledger": {"mode": "merkle"}}')
    with np.load(copy / "predictions.npz") as file:
        kept = {name: file[name] for name in file.files if "probability" not in name}
    np.savez(copy / "predictions.npz", **kept)
    run = read_run(copy)
    assert all(isinstance(FIGURES[name].builders["run"](run), Unavailable) for name in OF_A_RUN)
    said = []
    assert draw(copy, warn=said.append) == []
    assert len(said) == 1 + sum("run" in entry.builders for entry in FIGURES.values())


def test_kinds_of_directories_are_recognised(tmp_path, finished_run):
    sweep = build_sweep(tmp_path / "sweep", GRID)
    study = build_study(tmp_path / "study", beats=False, rounds=False)
    benchmarks = build_benchmarks(tmp_path / "benchmarks")
    kinds = [kind_of(folder) for folder in (finished_run, sweep, study, benchmarks)]
    assert kinds == ["run", "sweep", "study", "benchmarks"]


@pytest.mark.parametrize("kind", ["sweep", "study"])
def test_a_sweep_and_a_study_repeat_to_the_byte(kind, tmp_path):
    once, again = (
        build_sweep(tmp_path / place / "d", GRID)
        if kind == "sweep"
        else build_study(tmp_path / place / "d", beats=False)
        for place in ("once", "again")
    )
    first, second = ({path.name: path.read_bytes() for path in draw(folder)} for folder in (once, again))
    assert first == second
    wanted = (
        {"rounds", "alpha", "points"}
        if kind == "sweep"
        else {"rounds", "alpha", "label_scarcity", "dose_dose", "ablation"}
    )
    assert set().union(*map(files, wanted)) <= set(first)


def test_names_of_files_are_safe(tmp_path):
    folder = build_study(tmp_path / "study", beats=False, rounds=False)
    written = json.loads((folder / "results.json").read_text())
    for row in written["rows"]:
        row["protocol"] = "../P 1/é"
    (folder / "results.json").write_text(json.dumps(written))
    written = draw(folder)
    assert {path.parent for path in written} == {folder / "figures"}
    assert all(re.fullmatch(r"[\w-]+\.\w+", path.name) for path in written)


def test_an_unwritable_folder_is_rejected(copy, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BoflError, match="give a writable folder"):
        draw(copy, tmp_path / "file" / "figures")


@pytest.mark.parametrize("name", FIGURES)
def test_every_entry_has_a_title_an_instruction_and_a_builder(name):
    entry = FIGURES[name]
    assert entry.title
    assert re.fullmatch(r"[^\n]+[^.\n]", entry.how_to_make)
    assert set(entry.builders) <= {"run", "sweep", "study", "benchmarks"}
    assert entry.builders
