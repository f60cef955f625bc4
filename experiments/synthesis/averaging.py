"""How often clients must average a GAN: the plan's steps in rounds of 1, 5 or 50, and on pooled data.

    BOFL_DATA=../shared/data python experiments/synthesis/averaging.py --work runs/averaging

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
from bofl_jax.federate import runtime

IN_A_ROUND = (1, 5, 50)
RARE = "SVF"


def main() -> None:
    """Run, read, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    runtime.keep_programs()
    ways = [*(("federated", steps) for steps in IN_A_ROUND), ("pooled", max(IN_A_ROUND))]
    rows = [measure(arguments.work, *way, seed) for seed in arguments.seeds for way in ways]
    (HERE / "averaging.json").write_text(json.dumps(rows, indent=1) + "\n")


def measure(work: Path, training: str, steps: int, seed: int) -> dict[str, Any]:
    """Scores of every rare class, by name."""
    synthesis = dict(arms()[f"gan-{QUOTA}-{DOSE:g}"].overrides["synthesis"])
    total = synthesis["rounds"] * synthesis["steps"]
    synthesis |= {"training": training, "rounds": total // steps, "steps": steps}
    directory = work / f"gan-{training}-{steps}-seed{seed}"
    if not (directory / "summary.json").exists():
        shutil.rmtree(directory, ignore_errors=True)
        overrides: dict[str, Any] = {"seed": seed, **PROTOCOLS["P1"], "synthesis": synthesis, "federation.rounds": 1}
        bofl.run(bofl.load_config(HERE / "base.toml", overrides), directory)
        print(directory.name, flush=True)
    lines = requests(directory)
    scores = {name: mean_scores([line for line in lines if line["class"] == name]) for name in RARE}
    known = {name: dict(zip(SCORES, map(number, found), strict=True)) for name, found in scores.items()}
    head = {"generator": "gan", "training": training, "steps": total, "steps_in_a_round": steps, "seed": seed}
    return head | {"scores": known}


def number(score: float) -> float | None:
    """None for a score that the gates could not give: JSON has no NaN."""
    return score if math.isfinite(score) else None


if __name__ == "__main__":
    main()
