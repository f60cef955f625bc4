"""How much longer a round takes with the ledger on, which works in its own thread while the device trains.

    python benchmarks/ledger_overlap.py --clients 1000 --json benchmarks/results/ledger_overlap.json

Whole runs of the reference work (see `engine.py`), alternately without and with a ledger. The first and the last round
of each run are omitted. The digests of all updates are part of the ledger's work. Prints JSON.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from engine import reference_config, reference_samples
from output import emit, machine

import bofl_jax as bofl
from bofl_jax.results import RoundRecord


def write_samples(path: Path, clients: int) -> None:
    """Write the samples of the reference work as a user's own file."""
    samples = reference_samples(clients)
    names = np.array(samples.classes)[samples.y]
    np.savez(path, x=samples.x, y=names, subject=samples.subject, time=samples.time, fs=samples.fs)


def round_seconds(folder: Path, arguments: argparse.Namespace, mode: str, name: str) -> list[float]:
    """Seconds of each round of a run without the first and the last."""
    table = reference_config(arguments)
    table["data"] = {"source": "npz", "root": str(folder / "samples.npz")}
    table["federation"]["rounds"] = arguments.rounds
    table |= {"ledger": {"mode": mode}, "evaluate": {"every": 0}}
    table["engine"]["checkpoint_every"] = arguments.rounds
    records: list[RoundRecord] = []
    bofl.run(bofl.load_config(table), out=folder / name, on_round=records.append)
    return [record["seconds"] for record in records[1:-1]]


def measure(arguments: argparse.Namespace) -> dict:
    """Measure pairs of runs, off and on in turn, so that both see the same load of the machine."""
    pairs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_samples(folder / "samples.npz", arguments.clients)
        for pair in range(arguments.pairs):
            off, on = (round_seconds(folder, arguments, mode, f"{mode}{pair}") for mode in ("off", arguments.mode))
            pairs.append({"off_s": statistics.median(off), "on_s": statistics.median(on)})
    ratios = [pair["on_s"] / pair["off_s"] for pair in pairs]
    return {
        "work": {"clients": arguments.clients, "steps": arguments.steps, "batch": arguments.batch},
        "mode": arguments.mode,
        "machine": machine(),
        "rounds": arguments.rounds - 2,
        "pairs": pairs,
        "ratio_median": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def main() -> None:
    """Measure and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--mode", default="merkle", choices=("merkle", "calldata", "signed", "per-client"))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument(
        "--pairs", type=int, default=3, help="pairs of runs without and with a ledger; the median ratio counts"
    )
    parser.add_argument("--json", type=Path)
    parser.set_defaults(execution="auto", devices=0, width=0)
    arguments = parser.parse_args()
    emit(measure(arguments), arguments.json)


if __name__ == "__main__":
    main()
