"""Compute results.json and table.md from the confusion matrices of finished trainings.

    python -m experiments.personalisation.table --work runs/personalisation
    python -m experiments.personalisation.table             # table.md from the committed results.json

Every number is the mean over the seeds. Intervals are 95 % percentiles of a bootstrap over people (not beats; records
201 and 202 are one man). Differences are paired. p-values are of a permutation test over people, adjusted by Holm's
method over all rows of a protocol.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bofl_jax import metrics
from bofl_jax.metrics import MatrixMetric, map_matrices, paired_permutation
from bofl_jax.results.writing import write_json
from experiments.common.command import argument_parser, run_command
from experiments.common.contrasts import (
    adjust_by_holm,
    metric_by_seed,
    people_interval,
    person_index,
    sd_over_seeds,
    sum_by_person,
)
from experiments.common.files import Arrays, WorkFolder, read_arrays
from experiments.common.tables import markdown_table, with_interval
from experiments.personalisation.plan import HERE, METHODS, PROTOCOLS, folds

Row = tuple[str, str]
"""A method, and how far it was adapted: a key of the results of a training."""
REFERENCE = ("fedavg", "adapted30")


class PersonCounts(NamedTuple):
    """Confusion matrices of one row of a table, int[S, P, K, K], for S seeds and P people."""

    all_samples: np.ndarray
    unseen_classes: np.ndarray  # test samples of classes of which the client has no labelled sample


METRICS: dict[str, tuple[str, MatrixMetric]] = {
    "accuracy": ("all_samples", metrics.accuracy),
    "macro_f1": ("all_samples", metrics.macro_f1),
    "unseen_class_recall": ("unseen_classes", metrics.accuracy),
}
"""Name -> the confusion matrices that a metric is computed from, and the metric."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the finished trainings, compute the results and write them."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, help="folder of the finished results [default: only renew the table]")
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="table.md is written beside it")
    options = parser.parse_args(arguments)
    if options.work:
        folder = WorkFolder(options.work)
        seeds = {protocol: folder.complete_seeds(trainings(protocol)) for protocol in PROTOCOLS}
        write_json(options.json, {name: measure(folder, name, done) for name, done in seeds.items() if done})
    results = json.loads(options.json.read_text())
    options.json.with_name("table.md").write_text("\n\n".join(map(render, results, results.values())) + "\n")


def trainings(protocol: str) -> list[tuple[str, str, str]]:
    """The names of all trainings of one seed."""
    return [(protocol, method, f"fold{fold}") for method in METHODS for fold in folds(protocol)]


def read_folds(folder: WorkFolder, protocol: str, method: str, seed: int) -> Arrays:
    """The counts of one seed: the tested patients of all folds together, int[C, ...] each.

    Args:
        folder: the work folder.
        protocol: name of the protocol.
        method: name of the method.
        seed: root seed.
    """
    total: Arrays = {}
    for fold in folds(protocol):
        arrays = read_arrays(folder.file((protocol, method, f"fold{fold}"), seed))
        for key, array in arrays.items():
            if key == "names":
                total[key] = array
                continue
            tested = arrays["tested"].reshape(-1, *(1,) * (array.ndim - 1))
            total[key] = total.get(key, 0) + np.where(tested, array, 0)
    return total


def measure(folder: WorkFolder, protocol: str, seeds: list[int]) -> dict[str, Any]:
    """The rows of one protocol, each with means, intervals and its difference from FedAvg + FT 30.

    Args:
        folder: the work folder.
        protocol: name of the protocol.
        seeds: the complete seeds.
    """
    by_method = {method: [read_folds(folder, protocol, method, seed) for seed in seeds] for method in METHODS}
    person = person_index(by_method["fedavg"][0]["names"])
    labelled = np.stack([one["labelled"] for one in by_method["fedavg"]])
    confusions: dict[Row, np.ndarray] = {
        (method, key): np.stack([one[key] for one in of_seed])
        for method, of_seed in by_method.items()
        for key in of_seed[0]
        if (key == "global" and method == "fedavg") or key.startswith(("adapted", "alone"))
    }
    rows = {row: by_person(counts, labelled, person) for row, counts in confusions.items()}
    table = []
    for row, counts in confusions.items():
        found = {"method": row[0], "adapted": row[1], **summarise(rows[row]), "worst_10_percent": worst_tenth(counts)}
        table.append(found if row == REFERENCE else found | difference(rows[row], rows[REFERENCE]))
    adjust_by_holm([row for row in table if "p" in row])
    return {"seeds": seeds, "people": int(person.max()) + 1, "compared_with": list(REFERENCE), "rows": table}


def by_person(confusions: np.ndarray, labelled: np.ndarray, person: np.ndarray) -> PersonCounts:
    """Add up the clients of each person.

    Args:
        confusions: int[S, C, K, K], true class by predicted class.
        labelled: int[S, C, K], labelled samples of each client.
        person: int[C], the person of each client.
    """
    unseen = np.where(labelled[..., None] == 0, confusions, 0)
    return PersonCounts(sum_by_person(confusions, person), sum_by_person(unseen, person))


def by_seed(name: str, row: PersonCounts) -> np.ndarray:
    """float64[S]: a metric over all people, seed by seed.

    Args:
        name: name of the metric.
        row: counts of the row.
    """
    kind, metric = METRICS[name]
    return metric_by_seed(metric, getattr(row, kind))


def interval(name: str, row: PersonCounts, reference: PersonCounts | None = None) -> list[float]:
    """95 % interval over people of a metric, or of its difference from a reference.

    Args:
        name: name of the metric.
        row: counts of the row.
        reference: counts of the row that is subtracted.
    """
    kind, metric = METRICS[name]
    found = people_interval(metric, getattr(row, kind), getattr(reference, kind) if reference else None)
    return [found.low, found.high]


def summarise(row: PersonCounts) -> dict[str, Any]:
    """Means over the seeds, with intervals."""
    summary: dict[str, Any] = {}
    for name in METRICS:
        values = by_seed(name, row)
        summary[name] = float(values.mean())
        summary[f"{name}_sd_over_seeds"] = sd_over_seeds(values)
    for name in ("accuracy", "macro_f1"):
        summary[f"{name}_interval"] = interval(name, row)
    summary["recall"] = metric_by_seed(metrics.recall, row.all_samples).mean(axis=0).tolist()
    return summary


def difference(row: PersonCounts, reference: PersonCounts) -> dict[str, Any]:
    """The difference of the macro-F1 from the reference's.

    Args:
        row: counts of the row.
        reference: counts of the row that is subtracted.
    """
    return {
        "difference": float((by_seed("macro_f1", row) - by_seed("macro_f1", reference)).mean()),
        "difference_interval": interval("macro_f1", row, reference),
        "p": paired_permutation(metrics.macro_f1, row.all_samples, reference.all_samples),
    }


def worst_tenth(confusions: np.ndarray) -> float:
    """Mean accuracy of the lowest tenth of the tested clients, of int[S, C, K, K]."""
    tested = confusions[0].sum(axis=(-2, -1)) > 0
    accuracy = map_matrices(metrics.accuracy, confusions)
    return float(np.mean([metrics.fairness(of_seed, tested).worst_10_percent for of_seed in accuracy]))


def title(row: dict[str, Any]) -> str:
    """The name of a row in the table."""
    steps = row["adapted"].removeprefix("adapted")
    if row["adapted"] == "global":
        return "FedAvg, not adapted"
    name = METHODS[row["method"]].title
    return name if row["adapted"] in ("alone", "adapted0") else f"{name} {steps}"


def render(protocol: str, result: dict[str, Any]) -> str:
    """The table of one protocol as Markdown.

    Args:
        protocol: name of the protocol.
        result: its results.
    """
    minutes = PROTOCOLS[protocol].minutes
    kind = "patients that nobody trained on" if PROTOCOLS[protocol].unseen else "patients who train"
    head = (
        "method",
        "accuracy",
        "macro-F1 [95 %]",
        "recall N / S / V / F",
        "worst 10 %",
        "unseen classes",
        "difference [95 %]",
        "p (Holm)",
    )
    table = markdown_table(head, "|---|---:|---|---|---:|---:|---|---:|", map(cells, result["rows"]))
    count = f"{minutes} labelled minute{'s' if minutes > 1 else ''}"
    return "\n".join([f"### {protocol}: {count}, {kind} ({len(result['seeds'])} seeds)", "", *table])


def cells(row: dict[str, Any]) -> list[str]:
    """The cells of one row."""
    compared = ["reference", ""]
    if "p_holm" in row:
        compared = [with_interval(row["difference"], row["difference_interval"], "+"), f"{row['p_holm']:.3f}"]
    return [
        title(row),
        f"{row['accuracy']:.3f}",
        with_interval(row["macro_f1"], row["macro_f1_interval"]),
        " / ".join(f"{value:.2f}" for value in row["recall"]),
        f"{row['worst_10_percent']:.3f}",
        f"{row['unseen_class_recall']:.2f}",
        *compared,
    ]


if __name__ == "__main__":
    run_command(main)
