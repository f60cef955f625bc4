"""Time of a sweep (`bofl sweep`), compared with the same runs one by one (`bofl run`).

    python benchmarks/sweep.py --json benchmarks/results/sweep.json                # 6 alphas x 10 seeds x 3 algorithms
    python benchmarks/sweep.py --seeds 0 --alone 6

The simulator's beats of 50 patients are assigned to 50 clients by a Dirichlet distribution, with 50 rounds, fine-tuning
and a ledger as in the quickstart. Every command runs in its own process. The sweep starts without compiled programs.
`--alone` of the runs are carried out one by one, evenly spaced over the grid, and find the programs that earlier runs
compiled. The runs that are not the first of their algorithm represent the others. Prints JSON.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from output import emit, machine

from bofl_jax.results import read_sweep_table
from bofl_jax.results.sweep import DONE, SweepRow

FIXED = {
    "data.patients": "50",
    "partition.scheme": "dirichlet",
    "partition.clients": "50",
    "partition.min_size": "1",
}
FAILED = 2
"""Exit code of a run that fails, and of a sweep with such a member: training that diverges."""

AXES = {"algorithm": "federation.algorithm", "alpha": "partition.alpha", "seed": "seed"}


def main() -> None:
    """Measure both and print the result."""
    arguments = parse_arguments()
    fixed = FIXED | {"federation.rounds": str(arguments.rounds)}
    axes = {"algorithm": arguments.algorithms, "alpha": arguments.alphas, "seed": arguments.seeds}
    points = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    with tempfile.TemporaryDirectory() as folder:
        together, table = time_sweep(axes, fixed, Path(folder))
        apart = [time_run(point, fixed, Path(folder)) for point in evenly_spaced(points, arguments.alone)]
    complete = {name: [row for row in rows if row.status == DONE] for name, rows in table.items()}
    by_algorithm = {
        name: {
            "together_s": round(statistics.mean(float(row.values["timing.rounds_s"]) for row in complete[name]), 2),
            "alone_s": [round(seconds, 1) for one, seconds in apart if one["algorithm"] == name],
        }
        for name in arguments.algorithms
    }
    alone = [statistics.mean(times[1:] or times) for each in by_algorithm.values() if (times := each["alone_s"])]
    per_member = together / len(points)
    result = {
        "grid": axes,
        "members": len(points),
        "failed": [row.member for rows in table.values() for row in rows if row.status != DONE],
        "rounds": arguments.rounds,
        "machine": {**machine(), "cores": len(os.sched_getaffinity(0))},
        "together_s": round(together, 1),
        "together_s_per_member": round(per_member, 2),
        "alone_runs": len(apart),
        "alone_s_per_member": round(statistics.mean(alone), 2),
        "times_faster": round(statistics.mean(alone) / per_member, 2),
        "by_algorithm": by_algorithm,
    }
    emit(result, arguments.json)


def time_sweep(axes: dict, fixed: dict[str, str], folder: Path) -> tuple[float, dict[str, list[SweepRow]]]:
    """Seconds of the sweep, and its members by algorithm."""
    words = [word for name, values in axes.items() for word in ("--grid", f"{AXES[name]}={','.join(map(str, values))}")]
    seconds = time_command(
        ["sweep", "quickstart", *words, *set_options(fixed), "--out", str(folder / "sweep")], folder / "cache"
    )
    rows = read_sweep_table(folder / "sweep").rows
    return seconds, {name: [row for row in rows if row.point[AXES["algorithm"]] == name] for name in axes["algorithm"]}


def time_run(point: dict, fixed: dict[str, str], folder: Path) -> tuple[dict, float]:
    """Seconds of one member that runs alone."""
    name = "-".join(map(str, point.values()))
    options = set_options(fixed | {AXES[axis]: str(value) for axis, value in point.items()})
    return point, time_command(["run", "quickstart", *options, "--out", str(folder / name)], folder / "cache-alone")


def set_options(options: dict[str, str]) -> list[str]:
    """Options as words of the command line."""
    return [word for key, value in options.items() for word in ("--set", f"{key}={value}")]


def evenly_spaced(points: list[dict], count: int) -> list[dict]:
    """A number of points that are evenly spaced over the grid."""
    count = min(count, len(points))
    return [points[(2 * index + 1) * len(points) // (2 * count)] for index in range(count)]


def time_command(words: list[str], cache: Path) -> float:
    """Seconds of a `bofl` command in its own process."""
    print("bofl", *words, file=sys.stderr, flush=True)
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "bofl_jax", *words],
        check=False,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"BOFL_CACHE": str(cache)},
    )
    if ended.returncode not in (0, FAILED):
        sys.exit(f"bofl ended with {ended.returncode}")
    return time.perf_counter() - began


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", default=["fedavg", "perfedavg", "ditto"])
    parser.add_argument("--alphas", nargs="+", type=float, default=[0.1, 0.3, 1.0, 3.0, 10.0, 1000.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--alone", type=int, default=6, help="runs carried out one by one")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
