"""Whole runs with very many clients, within a limit of memory.

    python benchmarks/large.py --clients 10000 --memory-gib 8 --json benchmarks/results/large_10000.json
    python benchmarks/large.py --clients 100000 --cohort 1000 --samples 16

`bofl run` in its own process, with the network and the windows of `engine.py`, every round on the ledger, and a test of
the shared model at the end. The operating system enforces the limit (`RLIMIT_DATA`: all memory that the process may
write). Prints JSON.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tomli_w
from engine import reference_config
from output import emit, machine

from bofl_jax.results import read_round_records, read_summary_record


def main() -> None:
    """Run, and print the result."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        emit(measure(arguments, Path(folder)), arguments.json)


def measure(arguments: argparse.Namespace, folder: Path) -> dict:
    """Carry out one run and measure it."""
    write_windows(folder / "windows.npz", arguments.clients, arguments.samples)
    engine = {"execution": "auto", "devices": 0, "width": 0, "hidden": 64, "steps": 1, "batch": 16}
    config = reference_config(argparse.Namespace(**engine, cohort=arguments.cohort))
    config["data"] = {"source": "npz", "root": str(folder / "windows.npz")}
    config["federation"] = {name: value for name, value in config["federation"].items() if value is not None}
    config["federation"]["rounds"] = arguments.rounds
    config["ledger"] = {"mode": arguments.ledger}
    config["personalise"] = {"method": "none"}
    config["evaluate"] = {"every": 0}
    (folder / "config.toml").write_text(tomli_w.dumps(config))
    limit = int(arguments.memory_gib * 2**30)
    command = [sys.executable, "-m", "bofl_jax", "run", folder / "config.toml", "--out", folder / "run"]
    process = subprocess.Popen(command, stdout=sys.stderr)
    resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit, limit))
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the run ended with {os.waitstatus_to_exitcode(status)}")
    rounds, summary = read_round_records(folder / "run"), read_summary_record(folder / "run")
    steady = rounds[1:-1]  # without the first round and the last one, in which the model is tested
    return {
        "work": {
            **{name: getattr(arguments, name) for name in ("clients", "cohort", "rounds", "ledger")},
            "training_samples_a_client": arguments.samples,
            "steps": engine["steps"],
            "batch": engine["batch"],
        },
        "machine": machine(),
        "memory_limit_gib": arguments.memory_gib,
        "peak_resident_mib": round(used.ru_maxrss / 1024),
        "data_mib": round((folder / "windows.npz").stat().st_size / 2**20),
        "round_s_median": round(statistics.median(r["seconds"] for r in steady), 3),
        "ledger_cpu_ms_median": round(statistics.median(r["ledger"]["cpu_ms"] for r in steady), 1),
        "digest_ms_median": round(statistics.median(r["ledger"]["digest_ms"] for r in steady), 1),
        "gas_per_round": summary["ledger"]["gas_per_round"],
        "accepted": summary["ledger"]["accepted"],
        "timing": summary["timing"],
    }


def write_windows(path: Path, clients: int, samples: int) -> None:
    """Write random windows as a user would: ``samples`` training samples and one test sample for each client."""
    rng = np.random.default_rng(0)
    count = clients * (samples + 1)
    np.savez(
        path,
        x=rng.standard_normal((count, 256, 1), np.float32),
        y=np.array(list("NSVFQ"))[rng.integers(0, 5, count)],
        subject=np.repeat(np.arange(clients), samples + 1),
        time=np.tile(np.r_[np.zeros(samples), 120.0], clients),
        fs=360.0,
    )


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--cohort", type=int, help="clients drawn for a round; all when omitted")
    parser.add_argument("--samples", type=int, default=64, help="training windows of a client")
    parser.add_argument("--rounds", type=int, default=6, help="rounds; the median omits the first and the last")
    parser.add_argument("--ledger", choices=("merkle", "off"), default="merkle")
    parser.add_argument("--memory-gib", type=float, default=8.0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
