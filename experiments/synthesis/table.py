"""Turn the complete runs of run.py into results.json and table.md.

    python experiments/synthesis/table.py --work runs/synthesis

Every number is the mean over the seeds. Intervals are 95 % percentiles of a bootstrap over people (not beats, and
records 201 and 202 are one man); differences from no balancing are paired by person and seed.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from plan import ARMS, HERE, PROTOCOLS
from sklearn.metrics import average_precision_score, roc_curve

from bofl_jax.data import person_of
from bofl_jax.evaluate import confusions

sys.path.append(str(HERE.parent / "personalisation"))
import clustered
from clustered import Scores

MODELS = ("global", "personalised")
SPECIFICITY = 0.95
REFERENCE = "none"


def main() -> None:
    """Read, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="table.md goes beside it")
    arguments = parser.parse_args()
    results = {protocol: found for protocol in PROTOCOLS if (found := measure(arguments.work, protocol))}
    arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    arguments.json.with_name("table.md").write_text("\n\n".join(map(render, results, results.values())) + "\n")


def measure(work: Path, protocol: str) -> dict[str, Any]:
    """All arms of one protocol, over the seeds that are complete in every arm that was begun."""
    begun = [arm for arm in ARMS if list(work.glob(f"{protocol}-{arm}-seed*/summary.json"))]
    of_arm = [
        {int(path.parent.name.rpartition("seed")[2]) for path in work.glob(f"{protocol}-{arm}-seed*/summary.json")}
        for arm in begun
    ]
    seeds = sorted(set.intersection(*of_arm)) if of_arm else []
    if not seeds:
        return {}
    rows: dict[tuple[str, str], Scores] = {}
    table = []
    for arm in begun:
        runs = [read(work / f"{protocol}-{arm}-seed{seed}") for seed in seeds]
        for model in MODELS:
            rows[arm, model] = clustered.scores(
                *(np.stack([run[key] for run in runs]) for key in (model, "labelled")), runs[0]["person"]
            )
            table.append({"arm": arm, "model": model, **summary(runs, model, rows[arm, model])})
    for row in table:
        if row["arm"] != REFERENCE and (REFERENCE, row["model"]) in rows:
            mine, reference = rows[row["arm"], row["model"]], rows[REFERENCE, row["model"]]
            row["difference"] = float(
                (clustered.of_seeds("macro_f1", mine) - clustered.of_seeds("macro_f1", reference)).mean()
            )
            row["difference_interval"] = clustered.interval("macro_f1", mine, reference)
    return {"seeds": seeds, "people": int(runs[0]["person"].max()) + 1, "rows": table}


def read(directory: Path) -> dict[str, Any]:
    """What one run says: confusion matrices int[C, K, K] and curves of both models, and what was used."""
    with np.load(directory / "predictions.npz") as arrays:
        found = {name: arrays[name] for name in arrays.files}
    with (directory / "clients.csv").open(newline="") as file:
        clients = list(csv.DictReader(file))
    classes = [str(name) for name in found["classes"]]
    lines = (directory / "synthesis.jsonl").read_text().splitlines() if (directory / "synthesis.jsonl").exists() else []
    run: dict[str, Any] = {
        "person": np.unique([person_of(str(name)) for name in found["client_names"]], return_inverse=True)[1],
        "labelled": np.array([[int(row[f"train_{name}"]) for name in classes] for row in clients]),
        "used": sum(json.loads(line)["used"] for line in lines),
    }
    for model in MODELS:
        probability = found[f"{model}_probability"]
        run[model] = np.asarray(confusions(probability, found["label"], found["client"], len(clients)))
        run[f"{model}_curves"] = [curves(probability[:, k], found["label"] == k) for k in range(len(classes))]
    return run


def curves(score: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """AUPRC of a class, and its recall where the specificity, on the same samples, is SPECIFICITY."""
    false, true, _ = roc_curve(positive, score)
    return float(average_precision_score(positive, score)), float(np.interp(1 - SPECIFICITY, false, true))


def summary(runs: list[dict[str, Any]], model: str, row: Scores) -> dict[str, Any]:
    """Means over the seeds."""
    by_seed = clustered.of_seeds("macro_f1", row)
    auprc, recall = np.mean([run[f"{model}_curves"] for run in runs], axis=0).T
    return {
        "used": float(np.mean([run["used"] for run in runs])),
        "macro_f1": float(by_seed.mean()),
        "macro_f1_sd_over_seeds": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
        "macro_f1_interval": clustered.interval("macro_f1", row),
        "accuracy": float(clustered.of_seeds("accuracy", row).mean()),
        "auprc": auprc.tolist(),
        "recall_at_specificity_95": recall.tolist(),
    }


def render(protocol: str, result: dict[str, Any]) -> str:
    """One protocol as Markdown."""
    lines = [
        f"### {protocol} ({len(result['seeds'])} seeds, {result['people']} people)",
        "",
        "| arm | samples used | model | macro-F1 [95 %] | difference from none [95 %] | AUPRC S / V / F | "
        "recall at specificity .95 S / V / F |",
        "|---|---:|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        low, high = row["macro_f1_interval"]
        difference = "reference"
        if "difference" in row:
            lower, upper = row["difference_interval"]
            difference = f"{row['difference']:+.3f} [{lower:+.3f}, {upper:+.3f}]"
        areas, recalls = (" / ".join(f"{v:.2f}" for v in row[key][1:]) for key in ("auprc", "recall_at_specificity_95"))
        lines.append(
            f"| {ARMS[row['arm']].title} | {row['used']:.0f} | {row['model']} | {row['macro_f1']:.3f} [{low:.3f}, "
            f"{high:.3f}] | {difference} | {areas} | {recalls} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
