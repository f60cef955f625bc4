"""The one table of figures and tables: what each is, which run makes its data, and who draws it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bofl_jax.figures.benchmarks.ledger import ledger_cost
from bofl_jax.figures.benchmarks.throughput import throughput
from bofl_jax.figures.products import Made
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
from bofl_jax.figures.sweeps.against_key import against, others
from bofl_jax.figures.sweeps.points import points
from bofl_jax.figures.sweeps.rounds import rounds as sweep_rounds
from bofl_jax.results import read_benchmarks, read_run, read_study, read_sweep

READERS: dict[str, Callable[[Path], Any]] = {
    "run": read_run,
    "sweep": read_sweep,
    "study": read_study,
    "benchmarks": read_benchmarks,
}
"""Kind of directory -> what reads it."""


class Entry(NamedTuple):
    """One figure or table of the list.

    Attributes:
        title: what it is, with its number in the list of the paper.
        needs: which run makes its data, said where they are not there.
        makers: kind of directory -> function of what was read there.
    """

    title: str
    needs: str
    makers: Mapping[str, Callable[[Any], Made]]


def _grid(key: str, more: str = "") -> str:
    return f"bofl sweep CONFIG --grid seed=0,1,2 --grid {key}{more} makes its data"


_TEST = "a finished bofl run makes its data"
_SYNTHESIS = "python -m experiments.synthesis.run makes them"

FIGURES: dict[str, Entry] = {
    "system": Entry("F1: the system", _TEST, {"run": system}),
    "convergence": Entry("F2, of one run: loss and scores by round", _TEST, {"run": convergence}),
    "rounds": Entry(
        "F2: scores by round",
        "bofl sweep CONFIG --grid seed=0,1,2 makes its data, or a study's rounds.csv",
        {"sweep": sweep_rounds, "study": study_rounds.rounds},
    ),
    "alpha": Entry(
        "F3: heterogeneity",
        _grid("partition.alpha=0.1,1,10", " --set partition.scheme=dirichlet"),
        {"sweep": partial(against, "alpha"), "study": alpha.alpha},
    ),
    "per_class": Entry("F4, at the decision: recall and precision by class", _TEST, {"run": per_class}),
    "precision_recall": Entry("F4: precision and recall of rare classes", _TEST, {"run": precision_recall}),
    "gains": Entry("F4: gain in AUPRC of rare classes by arm", _SYNTHESIS, {"study": gains.gains}),
    "label_scarcity": Entry(
        "F5: labelled minutes",
        _grid("partition.train_minutes=0.5,1,2,5"),
        {"sweep": partial(against, "label_scarcity"), "study": label_scarcity.label_scarcity},
    ),
    "dose": Entry("F6: dose of synthetic samples", _SYNTHESIS, {"sweep": partial(against, "dose"), "study": dose.dose}),
    "fidelity": Entry("F7: synthetic beats beside real ones", _SYNTHESIS, {"study": fidelity.fidelity}),
    "generators": Entry("F7: scores of generators", _SYNTHESIS, {"study": generators.generators}),
    "clients": Entry("F8: accuracy of every client", _TEST, {"run": clients}),
    "adversaries": Entry(
        "F9: altered updates",
        _grid("adversary.altered=0.1,0.2,0.4", " --set adversary.channel=sign-flip"),
        {"sweep": partial(against, "adversaries")},
    ),
    "ledger": Entry("F10: cost of the ledger by round", "run with ledger.mode = 'merkle'", {"run": ledger}),
    "ledger_cost": Entry(
        "F10: cost of the ledger by clients",
        "python benchmarks/ledger.py --json ledger.json makes its data",
        {"benchmarks": ledger_cost},
    ),
    "scaling": Entry(
        "F10: scores and costs by clients",
        _grid("partition.clients=10,100,1000", " --set partition.scheme=iid"),
        {"sweep": partial(against, "scaling")},
    ),
    "privacy": Entry(
        "F11: privacy budget",
        "a bofl sweep over epsilon of the privacy section makes its data",
        {"sweep": partial(against, "privacy")},
    ),
    "calibration": Entry("F12: reliability, risk and coverage", _TEST, {"run": calibration}),
    "conformal": Entry(
        "F12: conformal sets by client", "a run with two clients or more makes its data", {"run": conformal}
    ),
    "explanations": Entry("F13: explained beats", "set evaluate.explain to a number of beats", {"run": explanations}),
    "drift": Entry(
        "F14: scores by time since the labels",
        "a run on recordings makes its data: bofl run mitbih",
        {"run": drift},
    ),
    "synthesis": Entry(
        "Requests for synthetic samples", "run with synthesis.generator = 'pca-gaussian'", {"run": synthesis}
    ),
    "key": Entry("Scores against any other number", _grid("optimizer.lr=0.01,0.1"), {"sweep": others}),
    "summary": Entry("T1, of one run: all in all", _TEST, {"run": summary}),
    "classes": Entry("T1, of one run: by class", _TEST, {"run": classes}),
    "groups": Entry("T1, of one run: by group of people", "set evaluate.groups = 'sex' or 'age'", {"run": groups}),
    "points": Entry("T1, of a sweep: every point", _grid("federation.algorithm=fedavg,ditto"), {"sweep": points}),
    "methods": Entry("T1: methods by protocol", "a study's results.json holds its data", {"study": tables.methods}),
    "ablation": Entry(
        "T2: ledger, personalisation, synthetic samples",
        "a study whose rows have factors makes its data",
        {"study": tables.ablation},
    ),
    "throughput": Entry(
        "T3: speed of simulators",
        "python benchmarks/peers/run.py --root DIR --json peers.json makes its data",
        {"benchmarks": throughput},
    ),
    "data": Entry("T4: data by role and class", _TEST, {"run": data}),
}
"""Name of its files -> the figure or table."""


def kind_of(folder: Path) -> str:
    """What a directory is, by the first of these files that it has; a run where it has none."""
    kinds = {"sweep.csv": "sweep", "summary.json": "run", "results.json": "study"}
    kinds |= {"peers.json": "benchmarks", "ledger.json": "benchmarks"}
    return next((kind for name, kind in kinds.items() if (folder / name).exists()), "run")
