"""What holds a federated GAN together: how often clients average, and whether they share what is compared.

    BOFL_DATA=../shared/data python experiments/synthesis/averaging.py --work runs/averaging

The plan's steps of `gan` in rounds of 1, 5 or 50, and on pooled data; those of `timegan` likewise, and in rounds of 1
with the moments of every client's own rows (``shared`` 0) instead of those of all clients.
Each is a governed run of P1, need-based, 10 %, with one round of the classifier, whose scores do not matter here.
Writes averaging.json: what the gates measured, means over the batches of a class.
"""

import argparse
import json
import math
import shutil
from pathlib import Path
from typing import Any

from pieces import SCORES, mean_scores, requests
from plan import DOSE, HERE, PROTOCOLS, QUOTA, arms

import bofl_jax as bofl
from bofl_jax.core.errors import in_one_line
from bofl_jax.parallel import devices

FEDERATED = [{"training": "federated", "steps": steps} for steps in (1, 5, 50)]
WAYS: dict[str, list[dict[str, Any]]] = {
    "gan": [*FEDERATED, {"training": "pooled", "steps": 50}],
    "timegan": [*({**way, "shared": 1.0} for way in FEDERATED), {**FEDERATED[0], "shared": 0.0}],
}
"""By generator, what differs from the plan."""
RARE = "SVF"


def main() -> None:
    """Run, read, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--generators", nargs="+", choices=WAYS, default=list(WAYS), help="the others' rows are kept")
    arguments = parser.parse_args()
    devices.enable_compilation_cache()
    path = HERE / "averaging.json"
    rows = [row for row in json.loads(path.read_text()) if row["generator"] not in arguments.generators]
    for generator in arguments.generators:
        rows += [measure(arguments.work, generator, way, seed) for seed in arguments.seeds for way in WAYS[generator]]
    path.write_text(json.dumps(rows, indent=1) + "\n")


def measure(work: Path, generator: str, way: dict[str, Any], seed: int) -> dict[str, Any]:
    """Scores of every rare class, by name."""
    synthesis = dict(arms()[f"{generator}-{QUOTA}-{DOSE:g}"].overrides["synthesis"])
    total = synthesis["rounds"] * synthesis["steps"]
    synthesis |= {**way, "rounds": total // way["steps"]}
    directory = work / "-".join([generator, *map(str, way.values()), f"seed{seed}"])
    if not (directory / "summary.json").exists():
        shutil.rmtree(directory, ignore_errors=True)
        overrides: dict[str, Any] = {"seed": seed, **PROTOCOLS["P1"], "synthesis": synthesis, "federation.rounds": 1}
        bofl.run(bofl.load_config(HERE / "base.toml", overrides), directory)
        print(directory.name, flush=True)
    lines = requests(directory)
    scores = {name: mean_scores([line for line in lines if line["class"] == name]) for name in RARE}
    known = {name: dict(zip(SCORES, map(number, found), strict=True)) for name, found in scores.items()}
    head = {"generator": generator, **way, "steps": total, "steps_in_a_round": way["steps"], "seed": seed}
    return head | {"scores": known}


def number(score: float) -> float | None:
    """None for a score that the gates could not give: JSON has no NaN."""
    return score if math.isfinite(score) else None


if __name__ == "__main__":
    with in_one_line():
        main()
