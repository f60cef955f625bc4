"""Regenerate what the README shows, and report what differs from the committed files.

    python -m experiments.reproduce --quick    # minutes: from committed result files, and every experiment in small
    python -m experiments.reproduce            # every experiment in full: days on 2 cores

All commands run in a copy of ``experiments``; no committed file is changed. Experiments on recordings are left out
without BOFL_DATA. The exit code is 1 if a file differs or a step failed.
"""

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

from experiments.common.command import argument_parser

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("experiments", "benchmarks/results")
"""Folders of the repository that are copied."""
PUBLISHED = {
    **{name: [name] for name in ("pfedme", "fedprox", "fedrep", "ditto", "fcube")},
    **{f"timegan_sines_{n}": ["timegan", "--data", "sines", "--iterations", str(n)] for n in (10000, 20000, 30000)},
}
"""Result file of ``published/results`` -> the module that writes it, and its arguments."""
PUBLISHED_ON_RECORDINGS = {
    "real_windows": ["timegan", "--generator", "real"],
    "timegan_stocks": ["timegan", "--data", "stocks"],
    "diffusion_stocks": ["timegan", "--generator", "diffusion", "--data", "stocks"],
    "simulator_tstr": ["simulator_tstr"],
    "vitals_gan": ["vitals_gan"],
}
"""The same for modules that read BOFL_DATA."""
NOT_REGENERATED = {
    "mitbih, figures": "they are drawn from run directories, which are not committed",
    "benchmarks, README": "its tables are written by hand from benchmarks/results",
}
STUDIES = ("ablation", "methods", "alpha", "label_scarcity")

Command = Sequence[str]
"""Module, and its arguments."""


class Step(NamedTuple):
    """Commands, and the files or folders that they write.

    Attributes:
        name: printed before the outcome.
        commands: modules and their arguments; they run in the copy of the repository.
        folder: folder of the written files.
        written: files and folders within ``folder``; they are compared with the committed ones.
        recordings: whether BOFL_DATA is needed.
        emptied: folders within ``folder`` that are removed before.
    """

    name: str
    commands: Sequence[Command]
    folder: str = "experiments"
    written: Sequence[str] = ()
    recordings: bool = False
    emptied: Sequence[str] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out all steps, and print one line for each."""
    parser = argument_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="committed results, and two rounds of every experiment")
    parser.add_argument("--work", type=Path, help="folder of the copy and of the runs [default: a temporary folder]")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        copy = work / "copy"
        for folder in COPIED:
            shutil.copytree(
                ROOT / folder, copy / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        steps = [*from_results(copy), *(small(work) if options.quick else whole(work))]
        succeeded = [report(step, copy) for step in steps]
        for name, reason in NOT_REGENERATED.items():
            print(f"{name}: not regenerated: {reason}")
    print(f"{sum(succeeded)} of {len(succeeded)} steps: nothing differs")
    return 0 if all(succeeded) else 1


def report(step: Step, copy: Path) -> bool:
    """Carry out one step and print its outcome; returns whether nothing differs.

    Args:
        step: the step.
        copy: the copy of the repository.
    """
    began = time.perf_counter()
    outcome = carry_out(step, copy)
    print(f"{step.name}: {outcome} ({time.perf_counter() - began:.0f} s)", flush=True)
    return not outcome.startswith(("DIFFERS", "FAILED"))


def carry_out(step: Step, copy: Path, committed: Path = ROOT) -> str:
    """The outcome of a step: ``same``, ``done``, or what differs, failed or was left out.

    Args:
        step: the step.
        copy: the copy of the repository.
        committed: the repository.
    """
    if step.recordings and "BOFL_DATA" not in os.environ:
        return "left out: set BOFL_DATA"
    for folder in step.emptied:
        shutil.rmtree(copy / step.folder / folder, ignore_errors=True)
    for command in step.commands:
        line = [sys.executable, "-m", *command]
        ran = subprocess.run(line, cwd=copy, env=environment(), capture_output=True, text=True, check=False)
        if ran.returncode:
            return f"FAILED: {' '.join(command)}: {(ran.stderr.strip() or ran.stdout).splitlines()[-1:]}"
    if not step.written:
        return "done"
    mine, theirs = copy / step.folder, committed / step.folder
    differing = [file for name in step.written for file in differences(mine, theirs, name)]
    return f"DIFFERS: {', '.join(differing)}" if differing else "same"


def environment() -> dict[str, str]:
    """The variables of a command: it imports the experiments of the copy and the package of this repository."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


def differences(mine: Path, committed: Path, name: str) -> list[str]:
    """The files under a name that have other bytes on the two sides, or are on one side only.

    Args:
        mine: folder of the regenerated files.
        committed: folder of the committed files.
        name: file or folder in both.
    """
    files = {path.relative_to(side) for side in (mine, committed) for path in files_under(side / name)}
    return [str(file) for file in sorted(files) if content(mine / file) != content(committed / file)]


def files_under(path: Path) -> list[Path]:
    """A file itself, or all files of a folder."""
    return [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]


def content(path: Path) -> bytes | None:
    """The bytes of a file; None if there is none."""
    return path.read_bytes() if path.is_file() else None


def from_results(copy: Path) -> Iterator[Step]:
    """Figures and tables that follow from committed result files."""
    folder = "experiments/personalisation"
    yield Step("personalisation, figure", [["experiments.personalisation.figure"]], folder, ["label_scarcity.png"])
    yield Step("personalisation, table", [["experiments.personalisation.table"]], folder, ["table.md"])
    yield Step(
        "published, figure", [["experiments.published.figure"]], "experiments/published", ["results/fedprox.png"]
    )
    for suffix in ("", "_centralised_8_seeds"):
        command = ["experiments.mitbih.table", f"experiments/mitbih/results{suffix}.json"]
        yield Step(f"mitbih, table{suffix}.md", [command], "experiments/mitbih", [f"table{suffix}.md"])
    for name in STUDIES:
        folder = f"experiments/main/studies/{name}"
        if (copy / folder / "pieces.npz").exists():
            command = ["experiments.main.table", "--study", name]
            yield Step(f"main, {name}, results", [command], folder, ["results.json", "rounds.csv"])
    for options, folder in ([], "experiments/synthesis"), (["--neural"], "experiments/synthesis/neural"):
        if (copy / folder / "pieces.npz").exists():
            command = ["experiments.synthesis.table", *options]
            written = ["results.json", "table.md", "privacy.md", "contrasts.md"]
            yield Step(" ".join(["synthesis, results", *options]), [command], folder, written)
    for results in sorted((copy / "experiments").rglob("results.json")):
        if "study" in json.loads(results.read_text()):
            yield figures_step(str(results.parent.relative_to(copy)))
    yield figures_step("benchmarks/results")
    generator = ["--set", "synthesis.generator=pca-gaussian", "--set", "synthesis.dose=0.1"]
    folder = "experiments/quickstart"
    commands = [
        ["bofl_jax", "run", "quickstart", *generator, "--out", f"{folder}/run"],
        ["bofl_jax", "figures", f"{folder}/run", "--out", folder],
    ]
    yield Step("quickstart, system", commands, folder, ["system.png"])


def figures_step(folder: str) -> Step:
    """Draw the figures of a folder of results."""
    return Step(f"{folder}, figures", [["bofl_jax", "figures", folder]], folder, ["figures"], emptied=["figures"])


def small(work: Path) -> Iterator[Step]:
    """Every experiment with two rounds and one seed."""
    few = ["--seeds", "0", "--rounds", "2"]
    example = ["experiments.new_method", "--out", str(work / "new_method"), "--rounds", "2"]
    yield Step("new_method, in small", [example])
    for name in ("fedrep", "ditto"):
        command = [f"experiments.published.{name}", "--json", str(work / f"{name}.json")]
        yield Step(f"published, {name}", [command])
    windows = ["experiments.published.timegan", "--data", "sines", "--iterations", "100", "--seeds", "1"]
    yield Step("published, timegan, in small", [[*windows, "--repeats", "1", "--json", str(work / "timegan.json")]])
    vitals = ["experiments.published.vitals_gan", "--seeds", "1", "--splits", "1"]
    yield Step("published, vitals_gan, in small", [[*vitals, "--json", str(work / "vitals_gan.json")]], recordings=True)
    mitbih = ["experiments.mitbih.run", "--work", str(work / "mitbih"), "--json", str(work / "mitbih.json")]
    part = ["--short", "--seeds", "0", "--only", "fedavg", "local"]
    yield Step("mitbih, in small", [[*mitbih, *part]], recordings=True)
    personalisation = ["experiments.personalisation.run", "--work", str(work / "personalisation")]
    part = ["--protocols", "P1", "--methods", "local", "fedavg", "ditto"]
    yield Step("personalisation, in small", [[*personalisation, *few, *part]], recordings=True)
    where = ["--work", str(work / "synthesis")]
    part = ["--protocols", "P1", "--arms", "none", "weights", "pca-gaussian-need-based-0.1"]
    commands = [["experiments.synthesis.run", *where, *few, *part], ["experiments.synthesis.table", *where]]
    yield Step("synthesis, in small", commands, recordings=True)
    parts = {
        "ablation": [],
        "methods": ["--protocols", "U1", "--arms", "centralised", "perfedavg"],
        "alpha": ["--protocols", "D0.1", "--arms", "local", "fedavg"],
        "label_scarcity": ["--protocols", "P0.5", "--arms", "ditto"],
    }
    for name, part in parts.items():
        where = ["--study", name, "--work", str(work / "main")]
        commands = [["experiments.main.run", *where, *few, *part]]
        if not part:  # all trainings, so that there is a table
            commands.append(["experiments.main.table", *where, "--out", str(work / name), "--pieces"])
        yield Step(f"main, {name}, in small", commands, recordings=True)


def whole(work: Path) -> Iterator[Step]:
    """Every experiment in full, and its table."""
    print("every experiment in full: days on 2 cores", flush=True)
    yield Step("new_method", [["experiments.new_method", "--out", str(work / "new_method")]])
    for name, (module, *arguments) in (PUBLISHED | PUBLISHED_ON_RECORDINGS).items():
        result = ["--json", f"experiments/published/results/{name}.json"]
        command = [f"experiments.published.{module}", *arguments, *result]
        yield Step(f"published, {name}", [command], recordings=name in PUBLISHED_ON_RECORDINGS)
    mitbih = ["experiments.mitbih.run", "--work", str(work / "mitbih")]
    yield Step("mitbih", [mitbih], "experiments/mitbih", ["table.md"], recordings=True)
    for name, written in {"personalisation": ["results.json", "table.md"], "synthesis": ["results.json"]}.items():
        yield run_and_table(name, ["--work", str(work / name)], name, written)
    averaging = ["experiments.synthesis.averaging", "--work", str(work / "averaging")]
    yield Step("synthesis, averaging", [averaging], "experiments/synthesis", ["averaging.json"], recordings=True)
    neural = ["--neural", "--work", str(work / "neural")]
    yield run_and_table("synthesis", neural, "synthesis --neural", ["neural/results.json"])
    for name in STUDIES:
        arguments = ["--study", name, "--work", str(work / "main")]
        yield run_and_table("main", arguments, f"main, {name}", [f"studies/{name}/results.json"])


def run_and_table(experiment: str, arguments: Command, name: str, written: Sequence[str]) -> Step:
    """Carry out an experiment, then compute its table.

    Args:
        experiment: name of the experiment.
        arguments: arguments of both commands.
        name: name of the step.
        written: files that are compared.
    """
    commands = [[f"experiments.{experiment}.{module}", *arguments] for module in ("run", "table")]
    return Step(name, commands, f"experiments/{experiment}", written, recordings=True)


if __name__ == "__main__":
    sys.exit(main())
