"""Measure how a federated GAN depends on how often clients average, and on shared moments.

    BOFL_DATA=../shared/data python -m experiments.synthesis.averaging --work runs/averaging

`gan` is trained for the plan's number of steps in rounds of 1, 5 or 50 steps, and on pooled data. `timegan` is trained
likewise, and once more in rounds of 1 step with the moments of each client's own rows (``shared`` = 0) instead of those
of all clients. Each training is part of a run of P1 with a ledger, the need-based quota and a dose of 10 %. The run has
one round of the classifier, whose scores do not matter here. Writes averaging.json: quality scores, means over the
batches of a class.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bofl_jax as bofl
from bofl_jax.parallel import enable_compilation_cache
from bofl_jax.results import read_requests
from bofl_jax.results.writing import write_json
from experiments.common.command import argument_parser, run_command
from experiments.common.training import complete_run
from experiments.synthesis.plan import ARMS, DOSE, HERE, PROTOCOLS, QUOTA
from experiments.synthesis.results import SCORES, mean_scores

FEDERATED = [{"training": "federated", "steps": steps} for steps in (1, 5, 50)]
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "gan": [*FEDERATED, {"training": "pooled", "steps": 50}],
    "timegan": [*({**variant, "shared": 1.0} for variant in FEDERATED), {**FEDERATED[0], "shared": 0.0}],
}
"""Generator -> options that differ from the plan."""
RARE = "SVF"


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out the runs, read their scores and write them."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--generators", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="rows of the others are kept"
    )
    options = parser.parse_args(arguments)
    enable_compilation_cache()
    path = HERE / "averaging.json"
    rows = [row for row in json.loads(path.read_text()) if row["generator"] not in options.generators]
    for generator in options.generators:
        rows += [
            measure(options.work, generator, variant, seed) for seed in options.seeds for variant in VARIANTS[generator]
        ]
    write_json(path, rows)


def measure(work: Path, generator: str, variant: dict[str, Any], seed: int) -> dict[str, Any]:
    """The quality scores of each rare class, by name.

    Args:
        work: folder of the run directories.
        generator: name of the generator.
        variant: options that differ from the plan.
        seed: root seed.
    """
    synthesis = dict(ARMS[f"{generator}-{QUOTA}-{DOSE:g}"].overrides["synthesis"])
    total = synthesis["rounds"] * synthesis["steps"]
    synthesis |= {**variant, "rounds": total // variant["steps"]}
    directory = work / "-".join([generator, *map(str, variant.values()), f"seed{seed}"])
    overrides: dict[str, Any] = {"seed": seed, **PROTOCOLS["P1"], "synthesis": synthesis, "federation.rounds": 1}
    if complete_run(bofl.load_config(HERE / "base.toml", overrides), directory):
        print(directory.name, flush=True)
    requests = read_requests(directory)
    scores = {label: mean_scores([line for line in requests if line["class"] == label]) for label in RARE}
    known = {label: dict(zip(SCORES, map(finite_or_none, of_label), strict=True)) for label, of_label in scores.items()}
    head = {"generator": generator, **variant, "steps": total, "steps_in_a_round": variant["steps"], "seed": seed}
    return head | {"scores": known}


def finite_or_none(score: float) -> float | None:
    """None for a score that could not be computed: JSON has no NaN."""
    return score if math.isfinite(score) else None


if __name__ == "__main__":
    run_command(main)
