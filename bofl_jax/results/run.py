"""Typed reading of a run directory."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.parsing import parse_json, parse_toml
from bofl_jax.results.files import RUN_MEND, arrays_of, check_labels, check_shape, column, csv_rows, read

MODELS = ("global", "personalised")
_SECTIONS = {"data", "partition", "model", "federation", "optimizer", "synthesis", "personalise", "ledger", "adversary"}


@dataclass(frozen=True)
class Rounds:
    """``rounds.jsonl`` as columns of R rounds; NaN where a number was not written."""

    number: np.ndarray  # int64[R], rising
    loss: np.ndarray  # float64[R]
    gas: np.ndarray  # float64[R]
    cpu_ms: np.ndarray  # float64[R], the ledger's transactions
    accuracy: np.ndarray  # float64[R], global model; NaN in rounds without evaluation
    macro_f1: np.ndarray  # float64[R]
    digest_ms: np.ndarray  # float64[R], hashing of updates and of their tree
    seconds: np.ndarray  # float64[R]


@dataclass(frozen=True)
class Clients:
    """``clients.csv`` as columns of C clients; NaN where a field is empty."""

    name: tuple[str, ...]
    global_accuracy: np.ndarray  # float64[C]
    personalised_accuracy: np.ndarray  # float64[C]
    subject: tuple[str, ...]  # of each client; "3 subjects" for one that holds several
    counts: dict[str, dict[str, np.ndarray]]  # role -> class -> float64[C] samples


@dataclass(frozen=True, eq=False)
class Predictions:
    """``predictions.npz``: N test samples, K classes; probabilities are absent for a model that was not trained."""

    label: np.ndarray  # int32[N]
    person: np.ndarray  # int64[N], the same for all recordings of one person
    classes: tuple[str, ...]
    global_probability: np.ndarray | None  # float32[N, K]
    personalised_probability: np.ndarray | None  # float32[N, K]
    client: np.ndarray  # int32[N]
    time: np.ndarray  # float64[N], seconds from the start of the subject's recording; NaN where none were written

    @property
    def models(self) -> dict[str, np.ndarray]:
        """float32[N, K] by model, only the models there are."""
        found = {model: getattr(self, f"{model}_probability") for model in MODELS}
        return {model: probability for model, probability in found.items() if probability is not None}

    def part(self, chosen: np.ndarray) -> "Predictions":
        """Those of some samples, bool[N]."""
        rows = {name: getattr(self, name)[chosen] for name in ("label", "person", "client", "time")}
        return replace(self, **rows, **{f"{model}_probability": p[chosen] for model, p in self.models.items()})


@dataclass(frozen=True)
class Summary:
    """The parts of ``summary.json`` that figures show."""

    test: dict[str, dict[str, Any]]  # metrics M by model ("global", "personalised"), only the models there are
    ledger_mode: str
    fairness: dict[str, dict[str, Any]]  # by model
    ledger: dict[str, Any]  # its mode and what it counted


@dataclass(frozen=True)
class Request:
    """A line of ``synthesis.jsonl``: what a client asked for and what became of it."""

    label: str  # the class's name
    amount: int
    state: str
    used: int
    failed: tuple[str, ...]  # the gates that the batch failed, or "validation"


@dataclass(frozen=True)
class Explanations:
    """``explanations.npz``: E beats and what each of their samples adds to the predicted class."""

    x: np.ndarray  # float32[E, T, L]
    attribution: np.ndarray  # float32[E, T, L]
    label: np.ndarray  # int32[E]
    predicted: np.ndarray  # int32[E]
    probability: np.ndarray  # float32[E, K]
    client: tuple[str, ...]
    sample_rate: float  # Hz
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """Everything that the figures of one run are drawn from."""

    rounds: Rounds
    clients: Clients
    predictions: Predictions
    summary: Summary
    requests: tuple[Request, ...] = ()
    explanations: Explanations | None = None
    config: dict[str, Any] = field(default_factory=dict)  # section -> key -> value
    contract: str = ""  # the name of the contract on the run's chain


def read_run(folder: Path) -> Run:
    """Read and check the result files of a run.

    Raises:
        BoflError: one line that names the file that is missing or damaged, and the mend.
    """
    if not folder.is_dir():
        raise BoflError(f"there is no run directory {folder}: give the folder that `bofl run --out` wrote")
    asked, explained = folder / "synthesis.jsonl", folder / "explanations.npz"
    config, contract = folder / "config.toml", folder / "ledger" / "contract.json"
    predictions = read(folder / "predictions.npz", _predictions, RUN_MEND)
    return Run(
        rounds=read_rounds(folder),
        clients=read(folder / "clients.csv", lambda path: _clients(path, predictions.classes), RUN_MEND),
        predictions=predictions,
        summary=read(folder / "summary.json", _summary, RUN_MEND),
        requests=read(asked, _requests, RUN_MEND) if asked.exists() else (),
        explanations=read(explained, _explanations, RUN_MEND) if explained.exists() else None,
        config=read(config, _config, RUN_MEND) if config.exists() else {},
        contract=read(contract, _contract, RUN_MEND) if contract.exists() else "",
    )


def read_rounds(folder: Path) -> Rounds:
    """Read the rounds of a run.

    Raises:
        BoflError: ``rounds.jsonl`` is missing or damaged.
    """
    return read(folder / "rounds.jsonl", _rounds, RUN_MEND)


def _rounds(path: Path) -> Rounds:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    number = np.array([int(row["round"]) for row in rows], np.int64)
    if not rows or (np.diff(number) <= 0).any():
        raise ValueError("the rounds are not numbered upwards" if rows else "it holds no round")
    ledgers = [row.get("ledger") or {} for row in rows]
    measured = [row.get("metrics") or {} for row in rows]
    return Rounds(
        number=number,
        loss=column(rows, "loss"),
        gas=column(ledgers, "gas"),
        cpu_ms=column(ledgers, "cpu_ms"),
        accuracy=column(measured, "accuracy"),
        macro_f1=column(measured, "macro_f1"),
        digest_ms=column(ledgers, "digest_ms"),
        seconds=column(rows, "seconds"),
    )


def _clients(path: Path, classes: tuple[str, ...]) -> Clients:
    rows = csv_rows(path)
    if not rows:
        raise ValueError("it holds no client")
    return Clients(
        name=tuple(row["client"] for row in rows),
        global_accuracy=column(rows, "global_accuracy", required=True),
        personalised_accuracy=column(rows, "personalised_accuracy", required=True),
        subject=tuple(row.get("subject") or row["client"] for row in rows),
        counts={
            role: {name: column(rows, f"{role}_{name}") for name in classes}
            for role in ("train", "test", "synthetic")
            if all(f"{role}_{name}" in rows[0] for name in classes)
        },
    )


def _predictions(path: Path) -> Predictions:
    arrays = arrays_of(path)
    label, classes = arrays["label"], tuple(str(name) for name in arrays["classes"])
    probability = {model: arrays.get(f"{model}_probability") for model in MODELS}
    arrays.setdefault("time", np.full(label.shape, np.nan))  # runs of earlier versions wrote none
    for name in ("subject", "client", "time"):
        check_shape(name, arrays[name], label.shape)
    for model, array in probability.items():
        if array is not None:
            check_shape(f"{model}_probability", array, (len(label), len(classes)))
    check_labels(label, classes)
    person = np.unique(arrays["person_names"], return_inverse=True)[1][arrays["subject"]]
    client, time = arrays["client"], arrays["time"]
    return Predictions(label, person, classes, probability["global"], probability["personalised"], client, time)


def _summary(path: Path) -> Summary:
    written = json.loads(path.read_text(encoding="utf-8"))
    test = {model: measured for model, measured in written["test"].items() if measured is not None}
    for measured in test.values():
        for row in measured["per_class"].values():
            _ = row["recall"], row["precision"], row["support"]
    ledger = dict(written["ledger"])
    return Summary(test, str(ledger["mode"]), dict(written.get("fairness") or {}), ledger)


def _config(path: Path) -> dict[str, Any]:
    config = parse_toml(path.read_text(encoding="utf-8"))
    for name in _SECTIONS & config.keys():
        if not isinstance(config[name], dict):
            raise ValueError(f"{name} is no section")
    return config


def _contract(path: Path) -> str:
    return str(parse_json(path.read_text(encoding="utf-8"))["contractName"])


def _requests(path: Path) -> tuple[Request, ...]:
    lines = [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(
        Request(
            str(line["class"]),
            int(line["amount"]),
            str(line["state"]),
            int(line["used"]),
            tuple(line.get("failed", ())),
        )
        for line in lines
    )


def _explanations(path: Path) -> Explanations:
    arrays = arrays_of(path)
    x, classes = arrays["x"], tuple(str(name) for name in arrays["classes"])
    if x.ndim != 3:
        raise ValueError(f"x has shape {x.shape}, not [E, T, L]")
    shapes = {"attribution": x.shape, "label": x.shape[:1], "predicted": x.shape[:1], "client": x.shape[:1]}
    for name, shape in (shapes | {"probability": (len(x), len(classes))}).items():
        check_shape(name, arrays[name], shape)
    for name in ("label", "predicted"):
        check_labels(arrays[name], classes)
    return Explanations(
        x=x,
        attribution=arrays["attribution"],
        label=arrays["label"],
        predicted=arrays["predicted"],
        probability=arrays["probability"],
        client=tuple(str(name) for name in arrays["client"]),
        sample_rate=float(arrays["sample_rate"]),
        classes=classes,
    )
