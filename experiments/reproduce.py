"""Regenerate what the README shows, and say what differs from what is committed.

    python experiments/reproduce.py --quick    # minutes: from committed result files, and every experiment in small
    python experiments/reproduce.py            # every experiment in full: days on 2 cores

Everything happens in a copy of ``experiments``; nothing that is committed is written to. Experiments on recordings are
left out without BOFL_DATA. Exit code 1: a file differs, or a step failed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ONE_TABLE = "import json, sys; from table import render; print(render(json.load(open(sys.argv[1]))), end='')"
TABLES = (
    "import json, sys; from table import render; r = json.load(open(sys.argv[1])); "
    "print('\\n\\n'.join(map(render, r, r.values())))"
)
DRAW = ["-m", "bofl_jax", "figures", "."]
PUBLISHED = {
    **{name: [f"{name}.py"] for name in ("pfedme", "fedprox", "fedrep", "ditto", "fcube")},
    **{f"timegan_sines_{n}": ["timegan.py", "--data", "sines", "--iterations", str(n)] for n in (10000, 20000, 30000)},
}
"""Result file of ``published/results`` -> what writes it."""
PUBLISHED_ON_RECORDINGS = {
    "real_windows": ["timegan.py", "--generator", "real"],
    "timegan_stocks": ["timegan.py", "--data", "stocks"],
    "diffusion_stocks": ["timegan.py", "--generator", "diffusion", "--data", "stocks"],
    "simulator_tstr": ["simulator_tstr.py"],
    "vitals_gan": ["vitals_gan.py"],
}
"""The same, of scripts that read BOFL_DATA."""
NOT_FROM_FILES = {
    "mitbih, figures": "they are drawn from run directories, which are not committed",
    "benchmarks, README": "its tables are written by hand from benchmarks/results",
}
MEASURED = "../benchmarks/results"
STUDIES = ("ablation", "methods", "alpha", "label_scarcity")


class Step(NamedTuple):
    """Commands, and the files or folders that they write anew.

    Attributes:
        name: said before the outcome.
        commands: arguments of Python, carried out in ``folder``.
        folder: within ``experiments``.
        made: within ``folder``; compared with the committed ones.
        stdout: the file of ``made`` that is what the only command prints; empty: none.
        recordings: whether it needs BOFL_DATA.
        renewed: folders that are emptied before.
    """

    name: str
    commands: Sequence[Sequence[str]]
    folder: str
    made: Sequence[str] = ()
    stdout: str = ""
    recordings: bool = False
    renewed: Sequence[str] = ()


def main(arguments: list[str] | None = None) -> int:
    """Carry out all steps, a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="committed results, and two rounds of every experiment")
    parser.add_argument("--work", type=Path, help="where the copy and the runs lie [default: a temporary folder]")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        copy = work / "experiments"
        shutil.copytree(HERE, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(HERE / MEASURED, copy / MEASURED, dirs_exist_ok=True)
        steps = [*from_results(copy), *(small(work) if options.quick else whole(work))]
        good = [report(step, copy) for step in steps]
        for name, reason in NOT_FROM_FILES.items():
            print(f"{name}: not made anew: {reason}")
    print(f"{sum(good)} of {len(good)} steps: nothing differs")
    return 0 if all(good) else 1


def report(step: Step, copy: Path) -> bool:
    """Carry out one step and print its outcome; whether nothing differs."""
    began = time.perf_counter()
    outcome = carry_out(step, copy)
    print(f"{step.name}: {outcome} ({time.perf_counter() - began:.0f} s)", flush=True)
    return not outcome.startswith(("DIFFERS", "FAILED"))


def carry_out(step: Step, copy: Path, committed: Path = HERE) -> str:
    """What came of a step: ``same``, ``done``, or what differs, failed or was left out."""
    if step.recordings and "BOFL_DATA" not in os.environ:
        return "left out: set BOFL_DATA"
    for folder in step.renewed:
        shutil.rmtree(copy / step.folder / folder, ignore_errors=True)
    for command in step.commands:
        line = [sys.executable, *command]
        ran = subprocess.run(line, cwd=copy / step.folder, capture_output=True, text=True, check=False)
        if ran.returncode:
            return f"FAILED: {' '.join(command)}: {(ran.stderr.strip() or ran.stdout).splitlines()[-1:]}"
        if step.stdout:
            (copy / step.folder / step.stdout).write_text(ran.stdout)
    if not step.made:
        return "done"
    differing = [name for made in step.made for name in differences(copy / step.folder, committed / step.folder, made)]
    return f"DIFFERS: {', '.join(differing)}" if differing else "same"


def differences(mine: Path, committed: Path, name: str) -> list[str]:
    """The files under a name that do not have the same bytes on both sides, or are on one side only."""
    files = {path.relative_to(side) for side in (mine, committed) for path in files_under(side / name)}
    return [str(file) for file in sorted(files) if content(mine / file) != content(committed / file)]


def files_under(path: Path) -> list[Path]:
    """A file itself, or all files of a folder."""
    return [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]


def content(path: Path) -> bytes | None:
    """The bytes; None where there is no file."""
    return path.read_bytes() if path.is_file() else None


def from_results(copy: Path) -> Iterator[Step]:
    """Figures and tables that follow from committed result files."""
    yield Step("personalisation, figure", [["figure.py"]], "personalisation", ["label_scarcity.png"])
    yield Step(
        "personalisation, table", [["-c", TABLES, "results.json"]], "personalisation", ["table.md"], stdout="table.md"
    )
    yield Step("published, figure", [["figure.py"]], "published", ["results/fedprox.png"])
    for suffix in ("", "_centralised_8_seeds"):
        made = f"table{suffix}.md"
        yield Step(f"mitbih, {made}", [["-c", ONE_TABLE, f"results{suffix}.json"]], "mitbih", [made], stdout=made)
    for name in STUDIES:
        if (copy / "main" / "studies" / name / "pieces.npz").exists():
            made = [f"studies/{name}/{file}" for file in ("results.json", "rounds.csv")]
            yield Step(f"main, {name}, results", [["table.py", "--study", name]], "main", made)
    for words, folder in ([], "."), (["--neural"], "neural"):
        if (copy / "synthesis" / folder / "pieces.npz").exists():
            made = [f"{folder}/{file}" for file in ("results.json", "table.md", "privacy.md", "contrasts.md")]
            yield Step(" ".join(["synthesis, results", *words]), [["table.py", *words]], "synthesis", made)
    for results in sorted(copy.rglob("results.json")):
        if "study" in json.loads(results.read_text()):
            folder = str(results.parent.relative_to(copy))
            yield Step(f"{folder}, figures", [DRAW], folder, ["figures"], renewed=["figures"])

    yield Step("benchmarks, figures", [DRAW], MEASURED, ["figures"], renewed=["figures"])
    run = ["run", "quickstart", "--set", "synthesis.generator=pca-gaussian", "--set", "synthesis.dose=0.1"]
    commands = [["-m", "bofl_jax", *run, "--out", "run"], ["-m", "bofl_jax", "figures", "run", "--out", "."]]
    yield Step("quickstart, system", commands, "quickstart", ["system.png"])


def small(work: Path) -> Iterator[Step]:
    """Every experiment with two rounds and one seed."""
    few = ["--seeds", "0", "--rounds", "2"]
    yield Step("new_method, in small", [["new_method.py", "--out", str(work / "new_method"), "--rounds", "2"]], ".")
    for script in ("fedrep", "ditto"):
        yield Step(f"published, {script}", [[f"{script}.py", "--json", str(work / f"{script}.json")]], "published")
    windows = ["timegan.py", "--data", "sines", "--iterations", "100", "--seeds", "1", "--repeats", "1"]
    yield Step("published, timegan, in small", [[*windows, "--json", str(work / "timegan.json")]], "published")
    vitals = ["vitals_gan.py", "--seeds", "1", "--splits", "1", "--json", str(work / "vitals_gan.json")]
    yield Step("published, vitals_gan, in small", [vitals], "published", recordings=True)
    mitbih = ["run.py", "--work", str(work / "mitbih"), "--short", "--seeds", "0", "--json", str(work / "mitbih.json")]
    yield Step("mitbih, in small", [[*mitbih, "--only", "fedavg", "local"]], "mitbih", recordings=True)
    made = str(work / "personalisation")
    methods = ["--protocols", "P1", "--methods", "local", "fedavg", "ditto"]
    yield Step(
        "personalisation, in small", [["run.py", "--work", made, *few, *methods]], "personalisation", recordings=True
    )
    made = str(work / "synthesis")
    arms = ["--protocols", "P1", "--arms", "none", "weights", "pca-gaussian-need-based-0.1"]
    commands = [["run.py", "--work", made, *few, *arms], ["table.py", "--work", made]]
    yield Step("synthesis, in small", commands, "synthesis", recordings=True)
    made = str(work / "main")
    small_of = {
        "ablation": [],
        "methods": ["--protocols", "U1", "--arms", "centralised", "perfedavg"],
        "alpha": ["--protocols", "D0.1", "--arms", "local", "fedavg"],
        "label_scarcity": ["--protocols", "P0.5", "--arms", "ditto"],
    }
    for name, part in small_of.items():
        commands = [["run.py", "--study", name, "--work", made, *few, *part]]
        if not part:  # all of it, so that there is a table
            commands.append(["table.py", "--study", name, "--work", made, "--out", str(work / name), "--pieces"])
        yield Step(f"main, {name}, in small", commands, "main", recordings=True)


def whole(work: Path) -> Iterator[Step]:
    """Every experiment in full, and its table."""
    print("every experiment in full: days on 2 cores", flush=True)
    yield Step("new_method", [["new_method.py", "--out", str(work / "new_method")]], ".")
    for name, script in (PUBLISHED | PUBLISHED_ON_RECORDINGS).items():
        commands = [[*script, "--json", f"results/{name}.json"]]
        yield Step(f"published, {name}", commands, "published", recordings=name in PUBLISHED_ON_RECORDINGS)
    yield Step("mitbih", [["run.py", "--work", str(work / "mitbih")]], "mitbih", ["table.md"], recordings=True)
    for name, made in {"personalisation": ["results.json", "table.md"], "synthesis": ["results.json"]}.items():
        commands = [[script, "--work", str(work / name)] for script in ("run.py", "table.py")]
        yield Step(name, commands, name, made, recordings=True)
    where = ["--neural", "--work", str(work / "neural")]
    neural = [[script, *where] for script in ("run.py", "table.py")]
    averaging = [["averaging.py", "--work", str(work / "averaging")]]
    yield Step("synthesis, averaging", averaging, "synthesis", ["averaging.json"], recordings=True)
    yield Step("synthesis --neural", neural, "synthesis", ["neural/results.json"], recordings=True)
    for name in STUDIES:
        commands = [[script, "--study", name, "--work", str(work / "main")] for script in ("run.py", "table.py")]
        yield Step(f"main, {name}", commands, "main", [f"studies/{name}/results.json"], recordings=True)


if __name__ == "__main__":
    sys.exit(main())
