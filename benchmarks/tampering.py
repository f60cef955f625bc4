"""Tamper with finished runs at random, and count by kind what the audit finds.

    python benchmarks/tampering.py --trials 1000 --json benchmarks/results/tampering.json

Makes four tiny runs. Then, for one kind of tampering after the other, a copy of a run is changed and audited. The kinds
are defined in ``tests/runs/tampering/``. Everything is drawn from the seed, so a trial can be repeated. Prints JSON.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from output import emit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.runs.tampering.kinds import KINDS
from tests.runs.tampering.runs import make_runs
from tests.runs.tampering.trials import run_trials


def measure(trials: int, seed: int) -> dict:
    """Run the trials; returns their counts in total and by kind.

    Args:
        trials: number of trials.
        seed: seed of all random choices.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        counts = run_trials(make_runs(Path(folder)), trials, seed)
    total = {name: sum(count[name] for count in counts.values()) for name in ("tried", "found", "missed")}
    seconds = round(time.perf_counter() - began, 1)
    return {"seed": seed, "kinds": len(KINDS), "trials": trials, **total, "seconds": seconds, "by_kind": counts}


def main() -> None:
    """Measure and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    emit(measure(arguments.trials, arguments.seed), arguments.json)


if __name__ == "__main__":
    main()
