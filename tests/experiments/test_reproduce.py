"""Regenerating committed files: the same bytes are recognised, and other bytes are reported."""

import importlib.util
import shutil

from experiments import reproduce
from experiments.reproduce import ROOT, Step, carry_out


def fabricate(tmp_path, written=b"as committed"):
    """A committed folder, and a copy of it with a module that writes the file again."""
    committed, copy = tmp_path / "committed", tmp_path / "copy"
    (committed / "one").mkdir(parents=True)
    (committed / "one" / "figure.png").write_bytes(b"as committed")
    shutil.copytree(committed, copy)
    line = f"import pathlib; pathlib.Path('one/figure.png').write_bytes({written!r})\n"
    (copy / "draw_figure.py").write_text(line)
    return committed, copy


def test_the_same_bytes_are_recognised(tmp_path):
    committed, copy = fabricate(tmp_path)
    assert carry_out(Step("s", [["draw_figure"]], "one", ["figure.png"]), copy, committed) == "same"


def test_a_file_that_differs_is_named(tmp_path):
    committed, copy = fabricate(tmp_path, b"another")
    for written in ("figure.png", "."):
        step = Step("s", [["draw_figure"]], "one", [written])
        assert carry_out(step, copy, committed) == "DIFFERS: figure.png"
    assert (committed / "one" / "figure.png").read_bytes() == b"as committed"


def test_a_file_that_is_no_longer_written_differs(tmp_path):
    committed, copy = fabricate(tmp_path)
    (committed / "one" / "figures").mkdir()
    (committed / "one" / "figures" / "old.png").write_bytes(b"old")
    shutil.copytree(committed, copy, dirs_exist_ok=True)
    (copy / "do_nothing.py").touch()
    step = Step("s", [["do_nothing"]], "one", ["figures"], emptied=["figures"])
    assert carry_out(step, copy, committed) == "DIFFERS: figures/old.png"


def test_a_command_that_fails_is_reported_with_its_last_line(tmp_path, capsys):
    (tmp_path / "fail.py").write_text("raise SystemExit('no such thing')\n")
    assert not reproduce.report(Step("broken", [["fail"]]), tmp_path)
    printed = capsys.readouterr().out
    assert "broken: FAILED" in printed
    assert "no such thing" in printed


def test_without_recordings_steps_that_need_them_are_left_out(tmp_path, monkeypatch):
    monkeypatch.delenv("BOFL_DATA", raising=False)
    step = Step("s", [["no_such_module"]], recordings=True)
    assert carry_out(step, tmp_path) == "left out: set BOFL_DATA"


def test_committed_tables_come_out_of_their_results(tmp_path):
    for folder in ("common", "mitbih", "personalisation"):
        shutil.copytree(ROOT / "experiments" / folder, tmp_path / "experiments" / folder)
    shutil.copy(ROOT / "experiments" / "__init__.py", tmp_path / "experiments")
    steps = [step for step in reproduce.from_results(tmp_path) if "table" in step.name]
    folders = ["personalisation", "mitbih", "mitbih"]
    assert [step.folder for step in steps] == [f"experiments/{folder}" for folder in folders]
    for step in steps:
        (tmp_path / step.folder / step.written[0]).unlink()
        assert carry_out(step, tmp_path) == "same"


def test_every_step_names_modules_that_exist(tmp_path):
    steps = [*reproduce.from_results(ROOT), *reproduce.small(tmp_path), *reproduce.whole(tmp_path)]
    modules = {command[0] for step in steps for command in step.commands}
    assert len(modules) > 15
    assert all(importlib.util.find_spec(module) for module in modules)
    experiments = {f"experiments.{path.parent.name}.run" for path in (ROOT / "experiments").glob("*/run.py")}
    for kind in (reproduce.small, reproduce.whole):
        assert experiments <= {command[0] for step in kind(tmp_path) for command in step.commands}
