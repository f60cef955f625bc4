"""The command line: what it prints, its exit codes, and one line for every request that cannot be carried out."""

import csv
import io
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import bofl_jax as bofl
from bofl_jax.cli import app
from bofl_jax.config import presets
from bofl_jax.core.errors import BoflError
from bofl_jax.figures import FIGURES
from tests.conftest import make_samples
from tests.support.tiny import (
    ROUNDS,
    biggest_file,
    exact_results,
    flip_byte,
    snapshot_after_each_round,
    tiny_config,
    write_arrays,
)

FORMS = {".png", ".pdf", ".csv", ".txt", ".md", ".tex"}
"""Of figures, tables and what goes with them."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on standard error of a command that failed."""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("bofl: ")
        assert "Traceback" not in self.err
        return self.err.removeprefix("bofl: ").rstrip()


Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> Command:
    """``bofl WORDS...`` within this process, in an empty folder and without anyone's data."""
    monkeypatch.chdir(tmp_path)
    for name in ("BOFL_DATA", "BOFL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["bofl", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main()
        return Ended(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``own.npz``, ``tiny.toml`` that names it, a finished run ``whole``, and ``1`` ... as each round left it."""
    home = tmp_path_factory.mktemp("home")
    config = bofl.load_config(tiny_config(write_arrays(home / "own.npz")))
    (home / "tiny.toml").write_text(config.to_toml())
    bofl.run(config, out=home / "whole", on_round=snapshot_after_each_round(home / "whole", home))
    return home


@pytest.fixture
def tiny(home: Path) -> Path:
    return home / "tiny.toml"


@pytest.fixture
def whole(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "whole", tmp_path / "whole"))


@pytest.fixture
def crashed(home: Path, tmp_path: Path) -> Path:
    """Killed after round 3; the last checkpoint is of round 2."""
    return Path(shutil.copytree(home / "3", tmp_path / "crashed"))


def test_a_run_prints_lines_tables_and_where_it_wrote(command, tiny, home, tmp_path):
    ended = command("run", tiny, "--out", "runs/first")
    assert ended.code == 0
    assert ended.err == ""
    first, *lines = ended.out.splitlines()
    assert first == f"6 clients, 240 samples, {ROUNDS} rounds; compiling once for 2 cpu devices ..."
    assert [line.split("  ")[0] for line in lines[:ROUNDS]] == [f"round {n}/{ROUNDS}" for n in range(1, ROUNDS + 1)]
    assert all(f"{word} " in lines[1] for word in ("loss", "samples/s", "ledger", "accuracy", "macro-F1"))
    assert "accuracy" not in lines[0]
    assert "\x1b" not in ended.out
    for word in ("Overall", "Per class", "Cost", "balanced accuracy", "worst 10 percent", "jain", "merkle", "gas"):
        assert word in ended.out
    assert lines[-1] == f"Written to {Path('runs/first')}"
    out = tmp_path / "runs" / "first"
    assert exact_results(out) == exact_results(home / "whole")
    assert {path.suffix for path in (out / "figures").iterdir()} == FORMS


def test_a_sweep_prints_a_line_a_member_and_says_what_failed(command, tiny, home):
    grid = ("--grid", "optimizer.lr=0.1,1e30", "--set", "federation.local_steps=2")
    ended = command("sweep", tiny, *grid, "--out", "all")
    assert ended.code == 2
    assert (
        ended.line
        == f"1 of 2 members failed ({Path('all') / 'sweep.csv'} says why): lr=1e+30; --resume tries them again"
    )
    first, second, written = ended.out.splitlines()
    assert first.startswith("[1/2] lr=0.1  ")
    assert first.endswith(" s")
    assert second.startswith("[2/2] lr=1e+30  failed: round 1: every update holds NaN or infinity")
    assert written == "Written to all: sweep.csv, sweep.npz"
    assert exact_results(Path("all") / "lr=0.1")["config"] == exact_results(home / "whole")["config"]
    again = command("sweep", tiny, "--grid", "optimizer.lr=0.1", "--out", "all", "--resume")
    assert (again.code, again.out.splitlines()[0]) == (0, "[1/1] lr=0.1  was complete")


def test_a_sweep_without_a_grid_is_refused(command, tiny):
    ended = command("sweep", tiny)
    assert ended.code == 2
    assert ended.line == "a sweep needs a grid: add --grid KEY=V1,V2, for example --grid seed=0,1,2"


def test_the_default_directory_has_the_runs_name(command, tiny, tmp_path):
    assert command("run", tiny, "--set", "federation.rounds=1", "--set", "name=mine").code == 0
    assert (tmp_path / "runs" / "mine" / "summary.json").exists()


def test_resume_by_the_command_line(command, tiny, crashed, home):
    ended = command("run", tiny, "--out", crashed, "--resume")
    assert ended.code == 0
    first, second, *_ = ended.out.splitlines()
    assert first.startswith(f"6 clients, 240 samples, continuing after round 2 of {ROUNDS}; compiling once")
    assert second.startswith(f"round 3/{ROUNDS}")
    assert exact_results(crashed) == exact_results(home / "whole")


def test_an_audit_that_holds(command, whole):
    ended = command("audit", whole)
    assert (ended.code, ended.err) == (0, "")
    told = f"Holds: {3 + 2 * ROUNDS} blocks with their seals and roots (py-evm), {ROUNDS} rounds in order, "
    told += f"{6 * ROUNDS} inclusion proofs of 6 clients, the final model's digest, the published results.\nHead 0x"
    assert told in ended.out
    table = [line.split() for line in ended.out.splitlines()[1 : 1 + ROUNDS]]
    assert [row[:2] for row in table] == [[str(number), str(number)] for number in range(1, ROUNDS + 1)]


def test_what_one_client_did_is_listed_by_name_address_and_index(command, whole):
    listed = [command("audit", whole, "--client", name) for name in ("s2", "2")]
    assert listed[0] == listed[1]
    assert listed[0].out.count("Contributed to model") == ROUNDS
    unknown = command("audit", whole, "--client", "s9")
    assert (unknown.code, unknown.err.startswith("bofl: there is no client s9: ")) == (2, True)


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_the_provenance_table_is_written(suffix, command, whole, tmp_path):
    path = tmp_path / f"rounds.{suffix}"
    assert command("audit", whole, "--out", path).code == 0
    text = path.read_text()
    rows = json.loads(text) if suffix == "json" else list(csv.DictReader(io.StringIO(text)))
    assert [int(row["contributors"]) for row in rows] == [6] * ROUNDS
    assert len({row["model_digest"] for row in rows}) == ROUNDS
    assert command("audit", whole, "--out", tmp_path / "rounds.txt").code == 2


def test_a_proof_is_written_once_and_checked_without_the_run(command, whole, tmp_path):
    proof, genesis = tmp_path / "proof.json", shutil.copy(whole / "ledger" / "genesis.json", tmp_path)
    assert command("audit", whole, "--prove", "s2", "3", "--out", proof).code == 0
    assert command("audit", whole, "--prove", "s2", "3", "--out", proof).code == 2
    held = command("audit", "--verify-proof", proof, "--genesis", genesis)
    assert (held.code, held.err, "to round 3, as number 3 of 6" in held.out) == (0, "", True)
    flip_byte(proof, 500, 1)
    spoiled = command("audit", "--verify-proof", proof)
    assert (spoiled.code, spoiled.err.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [(), ("--client", "0"), ("RUN", "--client", "0", "--prove", "0", "1"), ("RUN", "--verify-proof", "p.json")],
)
def test_an_audit_of_nothing_or_of_too_much_is_refused(words, command, whole):
    ended = command("audit", *(whole if word == "RUN" else word for word in words))
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def test_a_second_evm_agrees(command, whole):
    pytest.importorskip("ethereum", reason="the extra 'audit' (EELS) is not installed")
    ended = command("audit", whole, "--engine", "eels")
    assert (ended.code, "(py-evm and eels)" in ended.out) == (0, True)


SPOILED = {
    "block log": lambda run: flip_byte(run / "ledger" / "blocks.rlp", 2000),
    "last byte of the block log": lambda run: flip_byte(run / "ledger" / "blocks.rlp", -1, 1),
    "checkpoint": lambda run: flip_byte(biggest_file(run / "checkpoints" / "5"), -40),
    "no checkpoint": lambda run: shutil.rmtree(run / "checkpoints"),
    "summary": lambda run: replace(run / "summary.json", '"gas_total": ', '"gas_total": 1'),
    "configuration": lambda run: replace(run / "config.toml", "seed = 0", "seed = 1"),
    "rounds": lambda run: replace(run / "rounds.jsonl", '"gas": ', '"gas": 1'),
}


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("what", SPOILED)
def test_an_audit_that_fails_is_one_line_and_exit_code_1(what, command, whole):
    SPOILED[what](whole)
    ended = command("audit", whole)
    assert ended.code == 1
    assert ended.line
    assert ended.out == ""


def test_figures_of_a_finished_run(command, whole, tmp_path):
    ended = command("figures", whole, "--out", tmp_path / "figures")
    assert ended.code == 0
    named = [Path(line) for line in ended.out.splitlines()]
    assert sorted(named) == sorted((tmp_path / "figures").iterdir())
    assert {path.suffix for path in named} == FORMS
    assert all(path.stat().st_size > 1000 for path in named if path.suffix in (".png", ".pdf"))


def test_figures_of_an_unfinished_run_are_refused(command, crashed):
    assert command("figures", crashed).code == 2
    assert not (crashed / "figures").exists()


def test_figures_are_listed_with_what_makes_their_data(command):
    ended = command("figures", "--list")
    assert ended.code == 0
    for line, (name, entry) in zip(ended.out.splitlines(), FIGURES.items(), strict=True):
        assert line.split()[0] == name
        assert entry.title in line
        assert line.endswith(entry.how_to_make)


def test_figures_of_nothing_are_refused(command):
    ended = command("figures")
    assert ended.code == 2
    assert ended.line == "figures of what? Name a directory; --list says which figures there are"


def test_presets_are_listed(command):
    assert command("presets") == (0, "".join(f"{name}\n" for name in presets()), "")


def test_sources_are_listed(command):
    from bofl_jax.data import SOURCES

    ended = command("data", "list")
    assert ended.code == 0
    assert all(f" {name} " in ended.out for name in SOURCES)


def test_the_published_recordings_hold_and_a_changed_one_is_named(command, mitdb, tmp_path):
    ended = command("data", "check", "mitbih", "--root", mitdb)
    assert (ended.code, ended.err) == (0, "")
    assert "144 files match their checksums" in ended.out
    rows = [line.replace("│", " ").split() for line in ended.out.splitlines()]
    row = next(row for row in rows if row[:1] == ["ds1"])
    assert row[1:] == ["45866", "944", "3788", "415", "8", "51021"]
    copy = Path(shutil.copytree(mitdb, tmp_path / "mitdb"))
    flip_byte(copy / "100.dat", 1000)
    ended = command("data", "check", "mitbih", "--root", copy)
    assert ended.code == 1
    assert ended.line.startswith(f"{copy / '100.dat'} differs from the published file: ")


# ---------------------------------------------------------------------------------------------------------------------
# Requests that cannot be carried out
# ---------------------------------------------------------------------------------------------------------------------

REFUSED = {
    "unknown key": ("optimizer.speed=3", "unknown key optimizer.speed: "),
    "mistyped key": ("federation.round=3", "unknown key federation.round: did you mean federation.rounds?"),
    "out of range": ("federation.rounds=0", "federation.rounds = 0 is not possible: it should be greater than or "),
    "wrong type": (
        "federation.rounds=many",
        "federation.rounds = 'many' is not possible: it should be a valid integer",
    ),
    "no equals sign": ("federation.rounds", "--set federation.rounds: write it as KEY=VALUE, for example "),
    "algorithm": ("federation.algorithm=fedavgg", "federation.algorithm = 'fedavgg' is unknown: choose one of "),
    "source": ("data.source=npy", "data.source = 'npy' is unknown: choose one of "),
    "scheme": ("partition.scheme=patients", "partition.scheme = 'patients' is unknown: choose one of "),
    "shares nothing": (
        "federation.algorithm=local",
        "federation.algorithm = 'local' shares no update: set ledger.mode ",
    ),
    "too few clients": ("federation.cohort=7", "federation.cohort = 7, but only 6 clients can train: lower it"),
    "too few devices": ("engine.devices=64", "engine.devices = 64, but JAX sees 2: lower it, or set it to 0 for all"),
    "no data folder": ("data.source=mitbih", "no folder "),
    "no such file": ("data.root=nowhere.npz", "no file nowhere.npz: set data.root to an .npz file with the arrays "),
    "no test part": ("partition.train_minutes=5", "a training part of 5 min leaves no test sample (recordings last "),
    "subject": ("partition.test_subjects=['s9']", "partition.test_subjects names s9, but the data hold s0, s1, "),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_request_is_one_line_and_leaves_nothing(what, command, tiny, tmp_path):
    assignment, line = REFUSED[what]
    ended = command("run", tiny, "--out", "out", "--set", assignment)
    assert ended.code == 2
    assert ended.line.startswith(line)
    assert ended.out == ""
    assert not (tmp_path / "out").exists()


def test_a_missing_data_set_says_where_it_was_looked_for(command, tmp_path, monkeypatch):
    mend = "set data.root or BOFL_DATA, or run `bofl data fetch mitbih`"
    assert command("run", "mitbih").line == f"no folder {tmp_path / 'cache' / 'bofl_jax' / 'mitdb'}: {mend}"
    monkeypatch.setenv("BOFL_DATA", str(tmp_path / "data"))
    assert command("run", "mitbih").line == f"no folder {tmp_path / 'data' / 'mitdb'}: {mend}"
    assert command("data", "check", "mitbih").line == f"no folder {tmp_path / 'data' / 'mitdb'}: {mend}"
    assert list(tmp_path.iterdir()) == []


def test_presets_and_files_that_do_not_exist(command, tmp_path):
    assert command("run", "quickstrat") == (
        2,
        "",
        "bofl: there is no preset and no file called quickstrat: did you mean quickstart?\n",
    )
    (tmp_path / "broken.toml").write_text("rounds = = 3\n")
    ended = command("run", "broken.toml")
    assert ended.code == 2
    assert ended.line == "broken.toml is not valid TOML: Invalid value (at line 1, column 10)"


def changed_arrays(path: Path, what: str) -> None:
    samples = make_samples()
    x, time = samples.x.copy(), samples.time.copy()
    x[7, 3] = np.nan
    time[samples.subject == 1] += 1000
    match what:
        case "NaN":
            write_arrays(path, x=x)
        case "lengths":
            write_arrays(path, y=samples.y[:-1])
        case "no subject":
            write_arrays(path, subject=None)
        case "empty client":
            write_arrays(path, time=time)
        case "text":
            path.write_text("x,y,subject\n1,2,3\n")
        case "pickle":
            np.savez(path, x=np.array([{}], dtype=object), y=[0], subject=[0])
        case "cut off":
            write_arrays(path)
            path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("NaN", "x holds a NaN or infinite value at sample 7: drop or repair that sample"),
        ("lengths", "sample arrays have different lengths ("),
        ("no subject", "no array 'subject' among "),
        (
            "empty client",
            "client s1 has no training sample: lengthen partition.train_minutes or leave that subject out",
        ),
        ("text", "is not a readable .npz file ("),
        ("pickle", "is not a readable .npz file ("),
        ("cut off", "is not a readable .npz file ("),
    ],
)
def test_bad_arrays_are_one_line_and_leave_nothing(what, told, command, tiny, tmp_path):
    changed_arrays(tmp_path / "bad.npz", what)
    ended = command("run", tiny, "--out", "out", "--set", "data.root=bad.npz")
    assert ended.code == 2
    assert told in ended.line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda root: (root / "101.dat").write_bytes((root / "101.dat").read_bytes()[:30000]),
            "101.dat is truncated (",
        ),
        (lambda root: no_beats(root / "101.atr"), "101.atr marks no beat: "),
        (lambda root: (root / "101.atr").write_bytes(b""), "101.atr is empty: "),
        (lambda root: (root / "101.hea").unlink(), "101.hea: "),
    ],
)
def test_bad_recordings_are_one_line_and_leave_nothing(spoil, told, command, mitdb, tmp_path):
    root = tmp_path / "mitdb"
    root.mkdir()
    for record in ("100", "101"):
        for extension in ("hea", "dat", "atr"):
            shutil.copy(mitdb / f"{record}.{extension}", root)
    spoil(root)
    words = ("--set", f"data.root={root}", "--set", "data.records=['100', '101']")
    ended = command("run", "mitbih", "--out", "out", *words)
    assert ended.code == 2
    assert told in ended.line
    assert not (tmp_path / "out").exists()


def no_beats(path: Path) -> None:
    """An annotation file that holds a change of rhythm (code 28) at sample 100, then its end, and no beat."""
    path.write_bytes(struct.pack("<HH", 28 << 10 | 100, 0))


def test_a_directory_in_use_is_refused(command, tiny, whole, tmp_path):
    ended = command("run", tiny, "--out", whole)
    assert ended.code == 2
    assert ended.line == f"{whole} is not empty: name another --out, or go on with it by --resume"
    ended = command("run", tiny, "--out", tmp_path, "--resume")
    assert ended.code == 2
    assert ended.line == f"{tmp_path} is not empty: name another --out"


def test_resume_with_another_configuration_is_refused(command, tiny, crashed):
    ended = command("run", tiny, "--out", crashed, "--resume", "--set", "optimizer.lr=0.2")
    assert ended.code == 2
    told = f"{crashed} was begun with optimizer.lr = 0.1, not 0.2: resume it with the same configuration "
    assert ended.line.startswith(told)
    assert not (crashed / "summary.json").exists()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: flip_byte(biggest_file(run / "checkpoints" / "2"), -40), "checkpoint "),
        (lambda run: flip_byte(run / "ledger" / "blocks.rlp", 1500), "the ledger cannot be resumed: "),
        (lambda run: (run / "ledger" / "blocks.rlp").unlink(), "the ledger cannot be resumed: blocks.rlp "),
        (lambda run: (run / "rounds.jsonl").write_text("{"), "crashed/rounds.jsonl does not hold the first 2 rounds"),
        (lambda run: (run / "config.toml").write_text("["), "crashed/config.toml is damaged ("),
    ],
)
def test_a_damaged_run_is_not_resumed(spoil, told, command, tiny, crashed):
    spoil(crashed)
    ended = command("run", tiny, "--out", "crashed", "--resume")
    assert ended.code == 2
    assert ended.line.startswith(told)
    assert not (crashed / "summary.json").exists()


def test_diverged_training_leaves_no_summary(command, tiny, tmp_path):
    ended = command("run", tiny, "--out", "out", "--set", "optimizer.lr=1e30")
    assert ended.code == 2
    assert ended.line.endswith("training diverged: lower optimizer.lr (now 1e+30) and start again with another --out")
    assert not (tmp_path / "out" / "summary.json").exists()


def test_other_commands_name_what_they_do_not_know(command, tmp_path):
    ended = command("data", "check", "mitbhi")
    assert ended.code == 2
    assert ended.line == "there are no published files to check for 'mitbhi': use one of mitbih"
    ended = command("data", "fetch", "mitbhi")
    assert (ended.code, ended.line) == (2, "'mitbhi' is not a data set to fetch: use one of mitbih")
    ended = command("audit", tmp_path)
    assert ended.code == 2
    assert ended.line.startswith(
        f"{tmp_path / 'config.toml'} is missing, so the run is not complete: name a run directory"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run"], "Missing argument 'config': see "),
        (["run", "quickstart", "--nope"], "No such option: --nope: see "),
        (["run", "quickstart", "--set"], "Option '--set' requires an argument: see "),
        (["frobnicate"], "No such command 'frobnicate': see "),
        (["data", "steal"], "No such command 'steal': see "),
    ],
)
def test_a_mistyped_command_is_one_line(words, line, command):
    ended = command(*words)
    assert ended.code == 2
    assert ended.line.lower().startswith(line.lower())
    assert ended.line.endswith("--help")


@pytest.mark.parametrize("words", [(), ("data",), ("--help",), ("run", "--help")])
def test_help(words, command):
    ended = command(*words)
    assert ended.code == (0 if "--help" in words else 2)
    assert "Usage: " in ended.out
    assert ended.err == ""


@pytest.mark.parametrize("words", [("--debug", "run", "nothing"), ("run", "nothing", "--debug")])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(words, command):
    ended = command(*words)
    assert ended.code == 2
    assert "Traceback (most recent call last)" in ended.err
    assert "in read_table" in ended.err
    assert ended.err.splitlines()[-1].startswith("bofl: there is no preset and no file called nothing: ")


def test_an_error_nobody_foresaw_is_not_swallowed(command, tiny, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("bofl_jax.runs.run", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        command("run", tiny)


def test_ctrl_c_outside_a_round_has_its_exit_code(command, tiny, monkeypatch):
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bofl_jax.runs.run", pressed)
    ended = command("run", tiny)
    assert ended.code == 130
    assert ended.line == "stopped at once; a run that was under way goes on with --resume"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Command]:
    """``python -m bofl_jax WORDS...`` in a process of its own, where no test captures what libraries log."""

    def run(*words: object) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "bofl_jax", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(bofl.__file__).parents[1])},
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


def test_the_packages_names_stay_what_they_are():
    """``bofl.presets`` is a function, also after a preset was read from the folder of the same name."""
    program = "import bofl_jax as bofl; bofl.load_config('quickstart'); assert 'quickstart' in bofl.presets()"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(bofl.__file__).parents[1])


def test_the_module_is_the_command(fresh):
    ended = fresh("--help")
    assert (ended.code, ended.err) == (0, "")
    for name in ("run", "audit", "figures", "report", "presets", "data"):
        assert f" {name} " in ended.out


def test_libraries_add_nothing_to_the_one_line(fresh, tiny, crashed):
    flip_byte(biggest_file(crashed / "checkpoints" / "2"), -40)
    ended = fresh("run", tiny, "--out", crashed, "--resume")
    assert ended.code == 2
    assert ended.line.startswith("checkpoint ")
    assert ended.out.count("\n") == 1  # the line that says how many clients and samples there are


def test_errors_of_the_python_entry_are_bofl_errors():
    """What the command line prints is what a notebook raises."""
    with pytest.raises(BoflError, match="did you mean quickstart"):
        bofl.load_config("quikstart")
