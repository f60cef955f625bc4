"""Tiny runs, and the results of a run that must be equal to the bit."""

import contextlib
import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bofl_jax as bofl
from tests.conftest import make_samples

ROUNDS = 5
CHECKPOINT_EVERY = 2


def write_arrays(path: Path, **changed: np.ndarray | None) -> Path:
    """A user's own ``.npz`` with six subjects of two minutes; ``changed`` replaces an array, or omits it (None)."""
    samples = make_samples()
    arrays = {
        "x": samples.x,
        "features": samples.features,
        "y": np.array(samples.classes)[samples.y],
        "subject": np.array(samples.subjects)[samples.subject],
        "time": samples.time,
        "fs": np.array(samples.fs),
    }
    np.savez(path, **{name: array for name, array in (arrays | changed).items() if array is not None})
    return path


def tiny_config(arrays: Path | str) -> dict[str, Any]:
    """A configuration that takes seconds: FedAvg, then fine-tuning, with every round on the ledger."""
    return {
        "name": "tiny",
        "data": {"source": "npz", "root": str(arrays)},
        "partition": {"scheme": "patient", "train_minutes": 1.0},
        "model": {"name": "cnn1d", "channels": [4], "kernels": [5], "strides": [2], "hidden": 8},
        "federation": {"algorithm": "fedavg", "rounds": ROUNDS, "local_steps": 2, "batch_size": 8},
        "optimizer": {"lr": 0.1},
        "synthesis": {"generator": "none"},
        "personalise": {"method": "finetune", "steps": 2, "lr": 0.05},
        "evaluate": {"every": 2},
        "engine": {"checkpoint_every": CHECKPOINT_EVERY},
    }


def run_tiny(out: Path, arrays: Path, overrides: dict[str, Any] | None = None, **options: Any) -> bofl.Run:
    """Run the tiny configuration with ``overrides``."""
    return bofl.run(bofl.load_config(tiny_config(arrays), overrides), out=out, **options)


def snapshot_after_each_round(directory: Path, into: Path) -> Callable[[dict[str, Any]], None]:
    """A callback that copies the run directory after each round: the files that ``kill -9`` would leave then."""
    return lambda record: shutil.copytree(directory, into / str(record["round"])) and None


def exact_results(directory: Path) -> dict[str, Any]:
    """All results of a run without times; floats as they were written, arrays as bytes."""
    summary = json.loads((directory / "summary.json").read_text())
    with np.load(directory / "predictions.npz") as arrays:
        predictions = {name: (arrays[name].dtype.str, arrays[name].tobytes()) for name in arrays.files}
    clocks = ("cpu_ms", "cpu_ms_per_round", "digest_ms")
    rounds = read_rounds(directory)
    for record in rounds:
        del record["seconds"]
    for ledger in [summary["ledger"], *(record["ledger"] for record in rounds)]:
        for clock in clocks:
            ledger.pop(clock, None)
    return {
        "test": summary["test"],
        "fairness": summary["fairness"],
        "ledger": summary["ledger"],
        "config": summary["config_sha256"],
        "rounds": rounds,
        "predictions": predictions,
        "clients": (directory / "clients.csv").read_bytes(),
    }


def without_ledger(results: dict[str, Any]) -> dict[str, Any]:
    """The results that turning the ledger off must not change."""
    rounds = [{name: value for name, value in record.items() if name != "ledger"} for record in results["rounds"]]
    return {name: results[name] for name in ("test", "fairness", "predictions", "clients")} | {"rounds": rounds}


def read_rounds(directory: Path) -> list[dict[str, Any]]:
    """The lines of ``rounds.jsonl``."""
    return [json.loads(line) for line in (directory / "rounds.jsonl").read_text().splitlines()]


def read_clients(directory: Path) -> list[dict[str, str]]:
    """The rows of ``clients.csv``."""
    with (directory / "clients.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def flip_byte(path: Path, position: int, bits: int = 0xFF) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= bits
    path.write_bytes(data)


def biggest_file(folder: Path) -> Path:
    """The largest file of a folder: the arrays of a checkpoint."""
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@contextlib.contextmanager
def copied(directory: Path, to: Path) -> Iterator[Path]:
    """A copy of a run directory that a test may damage."""
    yield Path(shutil.copytree(directory, to))
