"""Turn the finished pieces of run.py into results.json and table.md.

    python experiments/personalisation/table.py --work runs/personalisation

Every number is the mean over the seeds. Intervals are 95 % percentiles of a bootstrap over people (not beats, and
records 201 and 202 are one man), drawn for all methods alike; differences are paired, their p-values are adjusted by
Holm's method over all rows of a protocol.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from plan import FOLDS, HERE, METHODS, PROTOCOLS
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bofl_jax.data import person_of

RESAMPLES, COMPARED_WITH = 2000, ("fedavg", "adapted30")
Row = tuple[str, str]
"""A method, and how far it was adapted (a key of a piece)."""


def main() -> None:
    """Read, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="table.md goes beside it")
    arguments = parser.parse_args()
    results = {}
    for protocol in PROTOCOLS:
        seeds = complete_seeds(arguments.work, protocol)
        if seeds:
            results[protocol] = measure(arguments.work, protocol, seeds)
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
                mine = arrays["tested"][:, None].reshape(-1, *(1,) * (arrays[key].ndim - 1))
                total[key] = total.get(key, 0) + np.where(mine, arrays[key], 0)
    return total


def measure(work: Path, protocol: str, seeds: list[int]) -> dict[str, Any]:
    """Rows of one protocol, each with means, intervals and its difference from FedAvg + FT 30."""
    by_method = {method: [read(work, protocol, method, seed) for seed in seeds] for method in METHODS}
    names = by_method["fedavg"][0]["names"]
    person = np.unique([person_of(str(name)) for name in names], return_inverse=True)[1]
    rows: dict[Row, np.ndarray] = {}
    for method, of_seed in by_method.items():
        for key in of_seed[0]:
            if (key == "global" and method == "fedavg") or key.startswith(("adapted", "alone")):
                rows[method, key] = np.stack([one[key] for one in of_seed])
    labelled = np.stack([one["labelled"] for one in by_method["fedavg"]])
    found = {row: Measured(confusions, labelled, person) for row, confusions in rows.items()}
    reference = found[COMPARED_WITH]
    table = [{"method": row[0], "adapted": row[1], **one.summary(reference)} for row, one in found.items()]
    others = [one for one in table if (one["method"], one["adapted"]) != COMPARED_WITH]
    for one, p in zip(others, multipletests([one["p"] for one in others], method="holm")[1], strict=True):
        one["p_holm"] = float(p)
    return {"seeds": seeds, "people": int(person.max()) + 1, "compared_with": list(COMPARED_WITH), "rows": table}


def _resamples(people: int) -> np.ndarray:
    """int[RESAMPLES, people]: people drawn with replacement, the same for all rows."""
    return np.random.default_rng(0).integers(0, people, (RESAMPLES, people))


class Measured:
    """One row: every person's confusion matrices, and metrics of any draw of people."""

    def __init__(self, confusions: np.ndarray, labelled: np.ndarray, person: np.ndarray) -> None:
        people = person.max() + 1
        seeds, clients, classes, _ = confusions.shape
        self.per_client = confusions
        self.of_person = np.zeros((seeds, people, classes, classes))
        unseen = np.where(labelled[..., None] == 0, confusions, 0)
        self.unseen = np.zeros_like(self.of_person)
        for target, source in ((self.of_person, confusions), (self.unseen, unseen)):
            for client in range(clients):
                target[:, person[client]] += source[:, client]
        self.draws = np.stack([np.bincount(draw, minlength=people) for draw in _resamples(people)])
        self.resampled = {name: self.metric(name, self.draws) for name in ("accuracy", "macro_f1")}

    def metric(self, name: str, weight: np.ndarray) -> np.ndarray:
        """float[draws]: mean over the seeds, people counted ``weight`` [draws, people] times."""
        source = self.unseen if name == "unseen_class_recall" else self.of_person
        matrix = np.einsum("dp,spij->dsij", weight, source)
        hits, true, said = np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(axis=-1), matrix.sum(axis=-2)
        with np.errstate(invalid="ignore"):
            if name == "macro_f1":
                return np.nanmean(2 * hits / (true + said), axis=-1).mean(axis=-1)
            return (hits.sum(axis=-1) / true.sum(axis=-1)).mean(axis=-1)

    def recall(self) -> list[float]:
        """Of each class."""
        matrix = self.of_person.sum(axis=1)
        return (np.diagonal(matrix, axis1=-2, axis2=-1) / matrix.sum(axis=-1)).mean(axis=0).tolist()

    def worst_tenth(self) -> float:
        """Mean accuracy of the lowest tenth of the clients."""
        hits = np.trace(self.per_client, axis1=-2, axis2=-1)
        tested = self.per_client.sum(axis=(-2, -1))
        kept = np.sort((hits / np.maximum(tested, 1))[:, tested[0] > 0], axis=1)
        return float(kept[:, : -(-kept.shape[1] // 10)].mean())

    def summary(self, reference: "Measured") -> dict[str, Any]:
        """All that is said of a row."""
        everyone = np.ones((1, self.of_person.shape[1]))
        said: dict[str, Any] = {}
        for name, drawn in self.resampled.items():
            said[name] = float(self.metric(name, everyone)[0])
            said[f"{name}_interval"] = np.percentile(drawn, (2.5, 97.5)).tolist()
        seeds = np.array([Measured.of_seed(self, seed) for seed in range(len(self.of_person))])
        said["macro_f1_sd_over_seeds"] = float(seeds.std(ddof=1)) if len(seeds) > 1 else None
        said |= {"recall": self.recall(), "worst_10_percent": self.worst_tenth()}
        said["unseen_class_recall"] = float(self.metric("unseen_class_recall", everyone)[0])
        gap = self.resampled["macro_f1"] - reference.resampled["macro_f1"]
        said["difference"] = said["macro_f1"] - float(reference.metric("macro_f1", everyone)[0])
        said["difference_interval"] = np.percentile(gap, (2.5, 97.5)).tolist()
        tail = stats.percentileofscore(gap, 0, kind="mean") / 100
        said["p"] = float(np.clip(2 * min(tail, 1 - tail), 1 / RESAMPLES, 1))
        return said

    @staticmethod
    def of_seed(row: "Measured", seed: int) -> float:
        """Macro-F1 of one seed."""
        matrix = row.of_person[seed].sum(axis=0)
        return float(np.nanmean(2 * np.diag(matrix) / (matrix.sum(axis=0) + matrix.sum(axis=1))))


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
