"""Keep some real and some synthetic beats of finished runs, for the figure that shows them side by side.

    BOFL_DATA=../shared/data python -m experiments.synthesis.fidelity --work runs/synthesis

The real beats are training samples of P1. The synthetic ones are those that clients used with seed 0, at the largest
dose that was run. Of each class at most MOST beats are kept, evenly spread.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import bofl_jax as bofl
from bofl_jax.engine import build_problem
from bofl_jax.parallel import resolve_plan
from bofl_jax.results import is_complete, read_requests
from bofl_jax.results.requests import read_batch
from bofl_jax.results.writing import write_arrays
from experiments.common.command import argument_parser, run_command
from experiments.common.files import training_name
from experiments.synthesis.plan import DOSES, GENERATORS, HERE, PROTOCOLS, QUOTA

MOST = 30


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the runs, write fidelity.npz."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of fidelity.npz")
    options = parser.parse_args(arguments)
    config = bofl.load_config(HERE / "base.toml", {"ledger.mode": "off", **PROTOCOLS["P1"]})
    problem = build_problem(config, resolve_plan(config.engine))
    samples, (rows, _) = problem.samples, problem.population.train.flat()
    arrays = {"sample_rate": np.array(samples.fs), "classes": np.array(samples.classes)}
    arrays["real"], arrays["real_label"] = thin_out(samples.x[rows], samples.y[rows])
    for name in GENERATORS:
        folder = largest_dose(options.work, name)
        if folder:
            arrays[f"made_{name}"], arrays[f"label_{name}"] = thin_out(*used_samples(folder))
    write_arrays(options.out / "fidelity.npz", arrays)


def largest_dose(work: Path, generator: str) -> Path | None:
    """The complete run of a generator with the largest dose; None if there is none.

    Args:
        work: folder of the run directories.
        generator: name of the generator.
    """
    folders = [work / training_name(("P1", f"{generator}-{QUOTA}-{dose:g}"), 0) for dose in sorted(DOSES, reverse=True)]
    return next(filter(is_complete, folders), None)


def used_samples(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The synthetic samples [M, T, L] and labels that the clients of a run used."""
    batches = [read_batch(folder, line["request"]) for line in read_requests(folder) if line["used"]]
    return np.concatenate([batch["x"] for batch in batches]), np.concatenate([batch["y"] for batch in batches])


def thin_out(x: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MOST samples of each class, evenly spread: the first lead, float16[M, T], and int32[M].

    Args:
        x: samples [N, T, L].
        label: int[N].
    """
    kept = []
    for kind in np.unique(label):
        members = np.flatnonzero(label == kind)
        kept.append(members[np.unique(np.linspace(0, len(members) - 1, MOST).round().astype(int))])
    order = np.concatenate(kept)
    return x[order, :, 0].astype(np.float16), label[order].astype(np.int32)


if __name__ == "__main__":
    run_command(main)
