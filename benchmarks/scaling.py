"""Time of a round and peak memory, by the number of clients and by the size of the network.

    python benchmarks/scaling.py --json benchmarks/results/scaling.json
    python benchmarks/scaling.py --clients 100 1000 10000 --hidden 64 --steps 10 --batch 32

Every point is `engine.py` in its own process, with the same work for each client. A line is fitted through all client
counts. Prints JSON.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from output import emit
from scipy.stats import linregress

ENGINE = Path(__file__).parent / "engine.py"
RECORDED_FIELDS = ("parameters", "round_s_median", "samples_per_s", "ratio_to_matmul", "peak_mib", "compile_s")


def main() -> None:
    """Measure all points and print the result."""
    arguments = parse_arguments()
    against_clients = [measure_point(arguments, clients, 64) for clients in sorted(arguments.clients)]
    against_parameters = [measure_point(arguments, arguments.hidden_clients, hidden) for hidden in arguments.hidden]
    cohorts = [measure_point(arguments, arguments.population, 64, cohort=1000)] if arguments.population else []
    points = against_clients + against_parameters + cohorts
    result = {
        "work": {"steps": arguments.steps, "batch": arguments.batch},
        "machine": points[0]["machine"],
        "plan": points[0]["plan"],
        "against_clients": {
            "points": [point_record(each) for each in against_clients],
            "line": fit_line(against_clients),
            "clients_per_s": round(against_clients[-1]["work"]["clients"] / against_clients[-1]["round_s_median"], 1),
        },
        "against_parameters": [point_record(each) for each in against_parameters],
        "sampled_cohorts": [point_record(each) for each in cohorts],
    }
    emit(result, arguments.json)


def measure_point(arguments: argparse.Namespace, clients: int, hidden: int, cohort: int | None = None) -> dict:
    """The result of `engine.py` for one size."""
    options = {"clients": clients, "hidden": hidden, "cohort": cohort, "steps": arguments.steps}
    options |= {"batch": arguments.batch, "rounds": arguments.rounds, "execution": arguments.execution}
    options |= {"width": arguments.width}
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    print(" ".join(words), file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, str(ENGINE), *words], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def point_record(measured: dict) -> dict:
    """The part of a point that is recorded."""
    work = {name: value for name, value in measured["work"].items() if name in ("clients", "cohort") and value}
    return work | {name: measured[name] for name in RECORDED_FIELDS}


def fit_line(points: list[dict]) -> dict | None:
    """Least squares fit of seconds of a round = start + clients / rate; None for fewer than three points."""
    if len(points) < 3:
        return None
    fit = linregress([each["work"]["clients"] for each in points], [each["round_s_median"] for each in points])
    return {
        "ms_per_client": round(1e3 * fit.slope, 4),
        "ms_at_no_client": round(1e3 * fit.intercept, 3),
        "r_squared": round(fit.rvalue**2, 5),
    }


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 30, 100, 300, 1000, 3000, 10000])
    parser.add_argument("--hidden", type=int, nargs="*", default=[16, 64, 256, 1024], help="units of the dense layer")
    parser.add_argument("--hidden-clients", type=int, default=64, help="clients of the points that vary the network")
    parser.add_argument(
        "--population", type=int, default=0, help="one more point: cohorts of 1000 clients out of this many"
    )
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--execution", default="auto")
    parser.add_argument("--width", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
