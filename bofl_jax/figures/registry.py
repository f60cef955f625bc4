"""The table of all figures and tables: title, how to make the data, and the function that builds it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bofl_jax.figures.artifacts import BuilderResult
from bofl_jax.figures.benchmarks.ledger import ledger_cost
from bofl_jax.figures.benchmarks.throughput import throughput
from bofl_jax.figures.runs.calibration import calibration
from bofl_jax.figures.runs.clients import clients
from bofl_jax.figures.runs.conformal import conformal
from bofl_jax.figures.runs.convergence import convergence
from bofl_jax.figures.runs.drift import drift
from bofl_jax.figures.runs.explanations import explanations
from bofl_jax.figures.runs.groups import groups
from bofl_jax.figures.runs.ledger import ledger
from bofl_jax.figures.runs.per_class import per_class
from bofl_jax.figures.runs.precision_recall import precision_recall
from bofl_jax.figures.runs.synthesis import synthesis
from bofl_jax.figures.runs.system import system
from bofl_jax.figures.runs.tables import classes, data, summary
from bofl_jax.figures.studies import alpha, dose, fidelity, gains, generators, label_scarcity, tables
from bofl_jax.figures.studies import rounds as study_rounds
from bofl_jax.figures.sweeps.against_key import scores_against, scores_against_other_keys
from bofl_jax.figures.sweeps.points import points
from bofl_jax.figures.sweeps.rounds import rounds as sweep_rounds
from bofl_jax.results import read_benchmarks, read_run, read_study, read_sweep

READERS: dict[str, Callable[[Path], Any]] = {
    "run": read_run,
    "sweep": read_sweep,
    "study": read_study,
    "benchmarks": read_benchmarks,
}
"""Kind of directory -> reader of its result files."""


class FigureEntry(NamedTuple):
    """One figure or table of the list.

    Attributes:
        title: with its number in the list of the paper.
        how_to_make: how to make its data, printed where they are missing.
        builders: kind of directory -> function of the results that were read there.
    """

    title: str
    how_to_make: str
    builders: Mapping[str, Callable[[Any], BuilderResult]]


def _grid(key: str, more: str = "") -> str:
    return f"bofl sweep CONFIG --grid seed=0,1,2 --grid {key}{more} makes its data"


_FROM_RUN = "a finished bofl run makes its data"
_FROM_SYNTHESIS = "python -m experiments.synthesis.run makes them"

FIGURES: dict[str, FigureEntry] = {
    "system": FigureEntry("F1: the system", _FROM_RUN, {"run": system}),
    "convergence": FigureEntry("F2, of one run: loss and scores by round", _FROM_RUN, {"run": convergence}),
    "rounds": FigureEntry(
        "F2: scores by round",
        "bofl sweep CONFIG --grid seed=0,1,2 makes its data, or a study's rounds.csv",
        {"sweep": sweep_rounds, "study": study_rounds.rounds},
    ),
    "alpha": FigureEntry(
        "F3: heterogeneity",
        _grid("partition.alpha=0.1,1,10", " --set partition.scheme=dirichlet"),
        {"sweep": partial(scores_against, "alpha"), "study": alpha.alpha},
    ),
    "per_class": FigureEntry("F4, at the decision: recall and precision by class", _FROM_RUN, {"run": per_class}),
    "precision_recall": FigureEntry("F4: precision and recall of rare classes", _FROM_RUN, {"run": precision_recall}),
    "gains": FigureEntry("F4: gain in AUPRC of rare classes by arm", _FROM_SYNTHESIS, {"study": gains.gains}),
    "label_scarcity": FigureEntry(
        "F5: labelled minutes",
        _grid("partition.train_minutes=0.5,1,2,5"),
        {"sweep": partial(scores_against, "label_scarcity"), "study": label_scarcity.label_scarcity},
    ),
    "dose": FigureEntry(
        "F6: dose of synthetic samples", _FROM_SYNTHESIS, {"sweep": partial(scores_against, "dose"), "study": dose.dose}
    ),
    "fidelity": FigureEntry("F7: synthetic beats beside real ones", _FROM_SYNTHESIS, {"study": fidelity.fidelity}),
    "generators": FigureEntry("F7: scores of generators", _FROM_SYNTHESIS, {"study": generators.generators}),
    "clients": FigureEntry("F8: accuracy of every client", _FROM_RUN, {"run": clients}),
    "adversaries": FigureEntry(
        "F9: altered updates",
        _grid("adversary.altered=0.1,0.2,0.4", " --set adversary.channel=sign-flip"),
        {"sweep": partial(scores_against, "adversaries")},
    ),
    "ledger": FigureEntry("F10: cost of the ledger by round", "run with ledger.mode = 'merkle'", {"run": ledger}),
    "ledger_cost": FigureEntry(
        "F10: cost of the ledger by clients",
        "python benchmarks/ledger.py --json ledger.json makes its data",
        {"benchmarks": ledger_cost},
    ),
    "scaling": FigureEntry(
        "F10: scores and costs by clients",
        _grid("partition.clients=10,100,1000", " --set partition.scheme=iid"),
        {"sweep": partial(scores_against, "scaling")},
    ),
    "privacy": FigureEntry(
        "F11: privacy budget",
        "a bofl sweep over epsilon of the privacy section makes its data",
        {"sweep": partial(scores_against, "privacy")},
    ),
    "calibration": FigureEntry("F12: reliability, risk and coverage", _FROM_RUN, {"run": calibration}),
    "conformal": FigureEntry(
        "F12: conformal sets by client", "a run with two clients or more makes its data", {"run": conformal}
    ),
    "explanations": FigureEntry(
        "F13: explained beats", "set evaluate.explain to a number of beats", {"run": explanations}
    ),
    "drift": FigureEntry(
        "F14: scores by time since the labels",
        "a run on recordings makes its data: bofl run mitbih",
        {"run": drift},
    ),
    "synthesis": FigureEntry(
        "Requests for synthetic samples", "run with synthesis.generator = 'pca-gaussian'", {"run": synthesis}
    ),
    "key": FigureEntry(
        "Scores against any other number", _grid("optimizer.lr=0.01,0.1"), {"sweep": scores_against_other_keys}
    ),
    "summary": FigureEntry("T1, of one run: all in all", _FROM_RUN, {"run": summary}),
    "classes": FigureEntry("T1, of one run: by class", _FROM_RUN, {"run": classes}),
    "groups": FigureEntry(
        "T1, of one run: by group of people", "set evaluate.groups = 'sex' or 'age'", {"run": groups}
    ),
    "points": FigureEntry("T1, of a sweep: every point", _grid("federation.algorithm=fedavg,ditto"), {"sweep": points}),
    "methods": FigureEntry(
        "T1: methods by protocol", "a study's results.json holds its data", {"study": tables.methods}
    ),
    "ablation": FigureEntry(
        "T2: ledger, personalisation, synthetic samples",
        "a study whose rows have factors makes its data",
        {"study": tables.ablation},
    ),
    "throughput": FigureEntry(
        "T3: speed of simulators",
        "python benchmarks/peers/run.py --root DIR --json peers.json makes its data",
        {"benchmarks": throughput},
    ),
    "data": FigureEntry("T4: data by role and class", _FROM_RUN, {"run": data}),
}
"""File name -> figure or table."""


def kind_of(folder: Path) -> str:
    """The kind of a directory, by the first of these files that it has; a run if it has none."""
    kinds = {"sweep.csv": "sweep", "summary.json": "run", "results.json": "study"}
    kinds |= {"peers.json": "benchmarks", "ledger.json": "benchmarks"}
    return next((kind for name, kind in kinds.items() if (folder / name).exists()), "run")
