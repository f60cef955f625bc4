"""Regenerating what is committed: the same bytes come out, and others are told."""

import shutil
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def reproduce(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import reproduce

    yield reproduce
    sys.modules.pop("reproduce", None)


def pair(tmp_path, changed=b"as committed"):
    """A committed folder and a copy of it in which a command finds another content."""
    committed, copy = tmp_path / "committed", tmp_path / "copy"
    (committed / "one").mkdir(parents=True)
    (committed / "one" / "figure.png").write_bytes(b"as committed")
    shutil.copytree(committed, copy)
    command = ["-c", f"import pathlib; pathlib.Path('figure.png').write_bytes({changed!r})"]
    return committed, copy, command


def test_the_same_bytes_are_the_same(reproduce, tmp_path):
    committed, copy, command = pair(tmp_path)
    assert reproduce.carry_out(reproduce.Step("s", [command], "one", ["figure.png"]), copy, committed) == "same"


def test_what_differs_is_named_in_a_file_and_in_a_folder(reproduce, tmp_path):
    committed, copy, command = pair(tmp_path, b"another")
    for made in ("figure.png", "."):
        step = reproduce.Step("s", [command], "one", [made])
        assert reproduce.carry_out(step, copy, committed) == "DIFFERS: figure.png"
    assert (committed / "one" / "figure.png").read_bytes() == b"as committed"


def test_a_file_that_is_no_longer_made_differs(reproduce, tmp_path):
    committed, copy, _ = pair(tmp_path)
    (committed / "one" / "figures").mkdir()
    (committed / "one" / "figures" / "old.png").write_bytes(b"old")
    shutil.copytree(committed, copy, dirs_exist_ok=True)
    step = reproduce.Step("s", [["-c", "pass"]], "one", ["figures"], renewed=["figures"])
    assert reproduce.carry_out(step, copy, committed) == "DIFFERS: figures/old.png"


def test_a_command_that_fails_is_told_with_its_last_line(reproduce, tmp_path, capsys):
    _, copy, _ = pair(tmp_path)
    step = reproduce.Step("broken", [["-c", "raise SystemExit('no such thing')"]], "one")
    assert not reproduce.report(step, copy)
    assert "broken: FAILED" in (said := capsys.readouterr().out)
    assert "no such thing" in said


def test_without_recordings_their_steps_are_left_out(reproduce, tmp_path, monkeypatch):
    monkeypatch.delenv("BOFL_DATA", raising=False)
    step = reproduce.Step("s", [["-c", "raise SystemExit(1)"]], ".", recordings=True)
    assert reproduce.carry_out(step, tmp_path) == "left out: set BOFL_DATA"


def test_committed_tables_come_out_of_their_results(reproduce, tmp_path):
    copy = tmp_path / "experiments"
    shutil.copytree(FOLDER / "mitbih", copy / "mitbih")
    shutil.copytree(FOLDER / "personalisation", copy / "personalisation")
    steps = [step for step in reproduce.from_results(copy) if "table" in step.name]
    assert [step.folder for step in steps] == ["personalisation", "mitbih", "mitbih"]
    for step in steps[1:]:
        assert reproduce.carry_out(step, copy) == "same"


def test_every_step_names_scripts_that_exist(reproduce, tmp_path):
    steps = [*reproduce.from_results(FOLDER), *reproduce.small(tmp_path), *reproduce.whole(tmp_path)]
    scripts = [(step.folder, command[0]) for step in steps for command in step.commands if command[0].endswith(".py")]
    assert len(scripts) > 20
    for folder, script in scripts:
        assert (FOLDER / folder / script).is_file()
    experiments = {path.parent.name for path in FOLDER.glob("*/run.py")}
    for kind in (reproduce.small, reproduce.whole):
        assert experiments <= {step.folder for step in kind(tmp_path)}
