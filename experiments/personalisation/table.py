"""Turn the finished pieces of run.py into results.json and table.md.

    python experiments/personalisation/table.py --work runs/personalisation

Every number is the mean over the seeds. Intervals are 95 % percentiles of a bootstrap over people (not beats, and
records 201 and 202 are one man); differences are paired; p-values are of a permutation test over people, adjusted by
Holm's method over all rows of a protocol.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from plan import FOLDS, HERE, METHODS, PROTOCOLS

from bofl_jax import metrics
from bofl_jax.data import person_of
from bofl_jax.metrics.statistics import clustered_bootstrap, holm, of_matrices, over_people, paired_permutation

Row = tuple[str, str]
"""A method, and how far it was adapted (a key of a piece)."""
COMPARED_WITH = ("fedavg", "adapted30")


class Scores(NamedTuple):
    """One row of a table: every person's confusion matrices, int[S, P, K, K], of S seeds and P people."""

    every: np.ndarray  # of all test samples
    unseen: np.ndarray  # of those of classes of which the client has no labelled sample


METRICS: dict[str, tuple[str, Callable]] = {
    "accuracy": ("every", metrics.accuracy),
    "macro_f1": ("every", metrics.macro_f1),
    "unseen_class_recall": ("unseen", metrics.accuracy),
}
"""Which matrices of a row, and what is made of them once they are added up."""


def main() -> None:
    """Read, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="table.md goes beside it")
    arguments = parser.parse_args()
    seeds = {protocol: complete_seeds(arguments.work, protocol) for protocol in PROTOCOLS}
    results = {protocol: measure(arguments.work, protocol, done) for protocol, done in seeds.items() if done}
    arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    arguments.json.with_name("table.md").write_text("\n\n".join(map(render, results, results.values())) + "\n")


def folds_of(protocol: str) -> range:
    """The pieces that make up one seed."""
    return range(FOLDS if PROTOCOLS[protocol].unseen else 1)


def piece(work: Path, protocol: str, method: str, fold: int, seed: int) -> Path:
    """Where run.py put it."""
    return work / f"{protocol}-{method}-fold{fold}-seed{seed}.npz"


def complete_seeds(work: Path, protocol: str) -> list[int]:
    """The seeds of which every method and fold is there."""
    found = sorted({int(path.stem.rpartition("seed")[2]) for path in work.glob(f"{protocol}-*-seed*.npz")})
    return [
        seed
        for seed in found
        if all(piece(work, protocol, m, fold, seed).exists() for m in METHODS for fold in folds_of(protocol))
    ]


def read(work: Path, protocol: str, method: str, seed: int) -> dict[str, np.ndarray]:
    """All of one seed: the tested patients of every fold side by side, int[C, ...] each."""
    total: dict[str, np.ndarray] = {}
    for fold in folds_of(protocol):
        with np.load(piece(work, protocol, method, fold, seed)) as arrays:
            for key in arrays.files:
                if key == "names":
                    total[key] = arrays[key]
                    continue
                mine = arrays["tested"].reshape(-1, *(1,) * (arrays[key].ndim - 1))
                total[key] = total.get(key, 0) + np.where(mine, arrays[key], 0)
    return total


def measure(work: Path, protocol: str, seeds: list[int]) -> dict[str, Any]:
    """Rows of one protocol, each with means, intervals and its difference from FedAvg + FT 30."""
    by_method = {method: [read(work, protocol, method, seed) for seed in seeds] for method in METHODS}
    names = by_method["fedavg"][0]["names"]
    person = np.unique([person_of(str(name)) for name in names], return_inverse=True)[1]
    labelled = np.stack([one["labelled"] for one in by_method["fedavg"]])
    confusions: dict[Row, np.ndarray] = {
        (method, key): np.stack([one[key] for one in of_seed])
        for method, of_seed in by_method.items()
        for key in of_seed[0]
        if (key == "global" and method == "fedavg") or key.startswith(("adapted", "alone"))
    }
    rows = {row: by_person(counts, labelled, person) for row, counts in confusions.items()}
    reference = rows[COMPARED_WITH]
    table = []
    for row, counts in confusions.items():
        one = {"method": row[0], "adapted": row[1], **summary(rows[row]), "worst_10_percent": worst_tenth(counts)}
        table.append(one if row == COMPARED_WITH else one | difference(rows[row], reference))
    others = [one for one in table if "p" in one]
    for one, p in zip(others, holm([one["p"] for one in others]), strict=True):
        one["p_holm"] = float(p)
    return {"seeds": seeds, "people": int(person.max()) + 1, "compared_with": list(COMPARED_WITH), "rows": table}


def by_person(confusions: np.ndarray, labelled: np.ndarray, person: np.ndarray) -> Scores:
    """Add up the clients of each person.

    Args:
        confusions: int[S, C, K, K], true class by predicted class.
        labelled: int[S, C, K], labelled samples of each client.
        person: int[C], whose client it is.
    """
    belongs = np.equal.outer(np.arange(person.max() + 1), person).astype(int)
    unseen = np.where(labelled[..., None] == 0, confusions, 0)
    return Scores(*(np.einsum("pc,scij->spij", belongs, part) for part in (confusions, unseen)))


def of_seeds(name: str, row: Scores) -> np.ndarray:
    """float[S]: the metric over all people, seed by seed."""
    kind, metric = METRICS[name]
    return of_matrices(metric, getattr(row, kind).sum(axis=1))


def interval(name: str, row: Scores, other: Scores | None = None) -> list[float]:
    """95 % interval over people of a metric, or of its difference from another row's."""
    kind, metric = METRICS[name]
    mine, yours = getattr(row, kind), getattr(other, kind) if other else None
    found = clustered_bootstrap(over_people(metric, mine, yours), mine.shape[1], mine.shape[0], draw_seeds=False)
    return [found.low, found.high]


def summary(row: Scores) -> dict[str, Any]:
    """Means over the seeds, with intervals."""
    said: dict[str, Any] = {}
    for name in METRICS:
        by_seed = of_seeds(name, row)
        said[name] = float(by_seed.mean())
        said[f"{name}_sd_over_seeds"] = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None
    for name in ("accuracy", "macro_f1"):
        said[f"{name}_interval"] = interval(name, row)
    said["recall"] = of_matrices(metrics.recall, row.every.sum(axis=1)).mean(axis=0).tolist()
    return said


def difference(row: Scores, reference: Scores) -> dict[str, Any]:
    """Of macro-F1 from the reference's."""
    return {
        "difference": float((of_seeds("macro_f1", row) - of_seeds("macro_f1", reference)).mean()),
        "difference_interval": interval("macro_f1", row, reference),
        "p": paired_permutation(metrics.macro_f1, row.every, reference.every),
    }


def worst_tenth(confusions: np.ndarray) -> float:
    """Mean accuracy of the lowest tenth of the tested clients, of int[S, C, K, K]."""
    tested = confusions[0].sum(axis=(-2, -1)) > 0
    accuracy = of_matrices(metrics.accuracy, confusions)
    return float(np.mean([metrics.fairness(of_seed, tested).worst_10_percent for of_seed in accuracy]))


def title(row: dict[str, Any]) -> str:
    """The row's name in the table."""
    steps = row["adapted"].removeprefix("adapted")
    if row["adapted"] == "global":
        return "FedAvg, not adapted"
    name = METHODS[row["method"]].title
    return name if row["adapted"] in ("alone", "adapted0") else f"{name} {steps}"


def render(protocol: str, result: dict[str, Any]) -> str:
    """One protocol as Markdown."""
    head = (
        "method | accuracy | macro-F1 [95 %] | recall N / S / V / F | worst 10 % | unseen classes | "
        "difference [95 %] | p (Holm)"
    )
    minutes = PROTOCOLS[protocol].minutes
    kind = "patients that nobody trained on" if PROTOCOLS[protocol].unseen else "patients who train"
    lines = [
        f"### {protocol}: {minutes} labelled minute{'s' if minutes > 1 else ''}, {kind} ({len(result['seeds'])} seeds)",
        "",
        f"| {head} |",
        "|---|---:|---|---|---:|---:|---|---:|",
    ]
    for row in result["rows"]:
        low, high = row["macro_f1_interval"]
        compared = "reference | "
        if "p_holm" in row:
            lower, upper = row["difference_interval"]
            compared = f"{row['difference']:+.3f} [{lower:+.3f}, {upper:+.3f}] | {row['p_holm']:.3f}"
        recalls = " / ".join(f"{value:.2f}" for value in row["recall"])
        lines.append(
            f"| {title(row)} | {row['accuracy']:.3f} | {row['macro_f1']:.3f} [{low:.3f}, {high:.3f}] | {recalls} | "
            f"{row['worst_10_percent']:.3f} | {row['unseen_class_recall']:.2f} | {compared} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
