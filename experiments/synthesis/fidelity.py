"""Keep some real and some synthetic beats of finished runs, for the figure that shows them side by side.

    BOFL_DATA=../shared/data python experiments/synthesis/fidelity.py --work runs/synthesis

Real beats are those that train under P1; synthetic ones those that the clients of seed 0 used, at the largest dose that
was run. Beats are thinned evenly, to at most MOST of a class.
"""

import argparse
from pathlib import Path

import numpy as np
from plan import DOSES, HERE, PROTOCOLS, QUOTA, SOURCES

import bofl_jax as bofl
from bofl_jax.core.errors import in_one_line
from bofl_jax.engine.problem import build_problem
from bofl_jax.parallel.clients import resolve
from bofl_jax.results.requests import path_of, read_lines

MOST = 30


def main() -> None:
    """Read the runs, write fidelity.npz."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    config = bofl.load_config(HERE / "base.toml", {"ledger.mode": "off", **PROTOCOLS["P1"]})
    setting = build_problem(config, resolve(config.engine))
    samples, (rows, _) = setting.samples, setting.population.train.flat()
    arrays = {"sample_rate": np.array(samples.fs), "classes": np.array(samples.classes)}
    arrays["real"], arrays["real_label"] = thinned(samples.x[rows], samples.y[rows])
    for name in SOURCES:
        for dose in sorted(DOSES, reverse=True):
            folder = arguments.work / f"P1-{name}-{QUOTA}-{dose:g}-seed0"
            if (folder / "summary.json").exists():
                arrays[f"made_{name}"], arrays[f"label_{name}"] = thinned(*used(folder))
                break
    np.savez_compressed(arguments.out / "fidelity.npz", allow_pickle=False, **arrays)


def used(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The samples [M, T, L] and labels that the clients of a run used."""
    batches = []
    for line in read_lines(folder):
        if line["used"]:
            with np.load(path_of(folder, line["request"])) as arrays:
                batches.append((arrays["x"], arrays["y"]))
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return x, y


def thinned(x: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MOST of every class, evenly spread: the first lead, float16[M, T], and int32[M]."""
    kept = []
    for kind in np.unique(label):
        members = np.flatnonzero(label == kind)
        kept.append(members[np.unique(np.linspace(0, len(members) - 1, MOST).round().astype(int))])
    order = np.concatenate(kept)
    return x[order, :, 0].astype(np.float16), label[order].astype(np.int32)


if __name__ == "__main__":
    with in_one_line():
        main()
