"""Typed reading of a run directory. A missing or damaged file is refused in one line that names it."""

import csv
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bofl_jax.core.errors import BoflError

T = TypeVar("T")

_MEND = "continue the run with --resume, or run it again into a new folder"
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Rounds:
    """``rounds.jsonl`` as columns of R rounds; NaN where a number was not written."""

    number: np.ndarray  # int64[R], rising
    loss: np.ndarray  # float64[R]
    gas: np.ndarray  # float64[R]
    cpu_ms: np.ndarray  # float64[R]
    accuracy: np.ndarray  # float64[R], global model; NaN in rounds without evaluation
    macro_f1: np.ndarray  # float64[R]


@dataclass(frozen=True)
class Clients:
    """``clients.csv`` as columns of C clients; NaN where a field is empty."""

    name: tuple[str, ...]
    global_accuracy: np.ndarray  # float64[C]
    personalised_accuracy: np.ndarray  # float64[C]


@dataclass(frozen=True)
class Predictions:
    """``predictions.npz``: N test samples, K classes; probabilities are absent for a model that was not trained."""

    label: np.ndarray  # int32[N]
    subject: np.ndarray  # int32[N]
    classes: tuple[str, ...]
    global_probability: np.ndarray | None  # float32[N, K]
    personalised_probability: np.ndarray | None  # float32[N, K]


@dataclass(frozen=True)
class Summary:
    """The parts of ``summary.json`` that figures show."""

    test: dict[str, dict[str, Any]]  # metrics M by model ("global", "personalised"), only the models there are
    ledger_mode: str


@dataclass(frozen=True)
class Run:
    """Everything that the figures of one run are drawn from."""

    rounds: Rounds
    clients: Clients
    predictions: Predictions
    summary: Summary


def read_run(folder: Path) -> Run:
    """Read and check the result files of a run.

    Raises:
        BoflError: one line that names the file that is missing or damaged, and the mend.
    """
    if not folder.is_dir():
        raise BoflError(f"there is no run directory {folder}: give the folder that `bofl run --out` wrote")
    return Run(
        rounds=_read(folder / "rounds.jsonl", _rounds),
        clients=_read(folder / "clients.csv", _clients),
        predictions=_read(folder / "predictions.npz", _predictions),
        summary=_read(folder / "summary.json", _summary),
    )


def _read(path: Path, parse: Callable[[Path], T]) -> T:
    try:
        return parse(path)
    except FileNotFoundError:
        raise BoflError(f"{path} is missing, so the run is not complete: {_MEND}") from None
    except OSError as error:
        raise BoflError(f"{path} cannot be read ({error.strerror}): make it a readable file") from error
    except _DAMAGE as error:
        detail = " ".join(str(error).split())
        raise BoflError(f"{path} is damaged ({type(error).__name__}: {detail}): {_MEND}") from error


def _rounds(path: Path) -> Rounds:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    number = np.array([int(row["round"]) for row in rows], np.int64)
    if not rows or (np.diff(number) <= 0).any():
        raise ValueError("the rounds are not numbered upwards" if rows else "it holds no round")
    ledgers = [row.get("ledger") or {} for row in rows]
    measured = [row.get("metrics") or {} for row in rows]
    return Rounds(
        number=number,
        loss=_column(rows, "loss"),
        gas=_column(ledgers, "gas"),
        cpu_ms=_column(ledgers, "cpu_ms"),
        accuracy=_column(measured, "accuracy"),
        macro_f1=_column(measured, "macro_f1"),
    )


def _clients(path: Path) -> Clients:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError("it holds no client")
    return Clients(
        name=tuple(row["client"] for row in rows),
        global_accuracy=_column(rows, "global_accuracy", required=True),
        personalised_accuracy=_column(rows, "personalised_accuracy", required=True),
    )


def _predictions(path: Path) -> Predictions:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    label, subject, classes = arrays["label"], arrays["subject"], tuple(str(name) for name in arrays["classes"])
    probability = {model: arrays.get(f"{model}_probability") for model in ("global", "personalised")}
    for name, array, shape in (
        ("subject", subject, label.shape),
        *((f"{model}_probability", array, (len(label), len(classes))) for model, array in probability.items()),
    ):
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, not {shape}")
    if label.size and not (label.min() >= 0 and label.max() < len(classes)):
        raise ValueError(f"a label is outside of the {len(classes)} classes")
    return Predictions(label, subject, classes, probability["global"], probability["personalised"])


def _summary(path: Path) -> Summary:
    written = json.loads(path.read_text(encoding="utf-8"))
    test = {model: measured for model, measured in written["test"].items() if measured is not None}
    for measured in test.values():
        for row in measured["per_class"].values():
            _ = row["recall"], row["precision"], row["support"]
    return Summary(test=test, ledger_mode=str(written["ledger"]["mode"]))


def _column(rows: list[dict[str, Any]], name: str, required: bool = False) -> np.ndarray:
    """float64[rows]: a field of every row; NaN where it is empty or null, or absent and not required."""
    values = [row[name] if required else row.get(name) for row in rows]
    return np.array([np.nan if value in (None, "") else float(value) for value in values], np.float64)
