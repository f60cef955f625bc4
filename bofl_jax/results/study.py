"""Typed reading of a study: ``results.json`` of an experiment of many runs, with rounds and beats beside it."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.results.reading import check_labels, load_arrays, load_csv, load_json, read_file
from bofl_jax.results.records import ArrayType, check_arrays

_MEND = "make it again with the experiment's own script"


@dataclass(frozen=True)
class Measured:
    """A number over seeds and people."""

    mean: float
    sd: float  # over seeds; NaN where it was not written
    low: float  # the 95 % interval's ends; NaN where there is none
    high: float


@dataclass(frozen=True)
class Difference:
    """How much better a row is than another arm of its protocol."""

    other: str  # the other arm
    metric: str
    mean: float
    low: float
    high: float
    p: float  # NaN where it was not tested
    p_holm: float  # corrected by Holm's method


@dataclass(frozen=True)
class Result:
    """One row of a study: an arm's model under a protocol."""

    protocol: str
    arm: str
    title: str
    model: str
    x: dict[str, Any]  # what the figures put on their axis: "minutes", "alpha", "dose"
    factors: dict[str, bool]  # of the ablation: "ledger", "personalisation", "synthesis"
    generator: str  # "" for none
    dose: float  # of synthetic samples, as a share of a client's own; NaN where it was not written
    used: float  # synthetic samples of all clients together, mean over the seeds; NaN where it was not written
    seeds: int
    people: int
    metrics: dict[str, Measured]
    difference: Difference | None
    gains: dict[str, Difference]  # metric -> how much better than another arm


@dataclass(frozen=True)
class Judged:
    """What the gates measured of a generator's samples of one class."""

    protocol: str
    generator: str
    label: str  # the class
    seeds: int
    scores: dict[str, float]  # means over the seeds; NaN where the gates could not judge


@dataclass(frozen=True)
class StudyRound:
    """One row of ``rounds.csv``."""

    protocol: str
    arm: str
    title: str
    round: int
    macro_f1: float
    low: float
    high: float


@dataclass(frozen=True)
class Fidelity:
    """``fidelity.npz``: real beats and those that generators made of them."""

    real: np.ndarray  # float32[N, T]
    real_label: np.ndarray  # int32[N]
    made: dict[str, tuple[np.ndarray, np.ndarray]]  # generator -> float32[M, T], int32[M]
    sample_rate: float  # Hz
    classes: tuple[str, ...]

    @property
    def sets(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Beats and labels, the real ones first."""
        return {"real": (self.real, self.real_label), **self.made}


@dataclass(frozen=True)
class Study:
    """Everything that the figures of a study are drawn from."""

    name: str
    title: str
    made_by: str  # the command
    drawn: str  # what the intervals draw: "people", "people and seeds"
    note: str  # what a reader of a figure must know of the protocols; "" for nothing
    rows: tuple[Result, ...]
    judged: tuple[Judged, ...] = ()
    rounds: tuple[StudyRound, ...] = ()
    fidelity: Fidelity | None = None
    protocols: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "protocols", tuple(dict.fromkeys(row.protocol for row in self.rows)))


FIDELITY_ARRAYS = {
    "real_label": ArrayType("int32", "N"),  # index of the class
    "real": ArrayType("float16", "NT"),
    "sample_rate": ArrayType("float64", ""),  # Hz
    "classes": ArrayType("str", "K"),
}
"""Real beats; ``made_NAME`` [M, T] and ``label_NAME`` [M] are those of each generator."""


def read_study(folder: Path) -> Study:
    """Read and check a study's results.

    Raises:
        BoflError: one line that names the file that is missing or damaged, and the mend.
    """
    study, rounds, beats = (
        read_file(folder / "results.json", _results, _MEND),
        folder / "rounds.csv",
        folder / "fidelity.npz",
    )
    return replace(
        study,
        rounds=read_file(rounds, _rounds, _MEND) if rounds.exists() else (),
        fidelity=read_file(beats, _fidelity, _MEND) if beats.exists() else None,
    )


def _results(path: Path) -> Study:
    written = load_json(path)
    head = written["study"]
    return Study(
        name=str(head["name"]),
        title=str(head["title"]),
        made_by=str(head["made_by"]),
        drawn=str(head["drawn"]),
        note=str(head.get("note", "")),
        rows=tuple(_result(row) for row in written["rows"]),
        judged=tuple(_judged(one) for one in written.get("generators") or ()),
    )


def _result(row: dict[str, Any]) -> Result:
    return Result(
        **{name: str(row[name]) for name in ("protocol", "arm", "title", "model")},
        x=dict(row.get("x") or {}),
        factors={name: bool(value) for name, value in (row.get("factors") or {}).items()},
        generator=str(row.get("generator") or ""),
        dose=_number(row.get("dose")),
        used=_number((row.get("outcome") or {}).get("used")),
        seeds=int(row["seeds"]),
        people=int(row["people"]),
        metrics={name: _measured(values) for name, values in row["metrics"].items() if values.get("mean") is not None},
        difference=_difference(row["difference"]) if row.get("difference") else None,
        gains=_gains(row["gains"]) if row.get("gains") else {},
    )


def _gains(written: dict[str, Any]) -> dict[str, Difference]:
    known = {name: values for name, values in written["metrics"].items() if values.get("mean") is not None}
    return {name: _difference({**values, "from": written["from"], "metric": name}) for name, values in known.items()}


def _judged(written: dict[str, Any]) -> Judged:
    return Judged(
        str(written["protocol"]),
        str(written["generator"]),
        str(written["class"]),
        int(written["seeds"]),
        {name: _number(value) for name, value in written["scores"].items()},
    )


def _measured(values: dict[str, Any]) -> Measured:
    return Measured(float(values["mean"]), _number(values.get("sd")), *_interval(values))


def _difference(values: dict[str, Any]) -> Difference:
    return Difference(
        str(values["from"]),
        str(values["metric"]),
        float(values["mean"]),
        *_interval(values),
        p=_number(values.get("p")),
        p_holm=_number(values.get("p_holm")),
    )


def _interval(values: dict[str, Any]) -> tuple[float, float]:
    low, high = values.get("interval") or (None, None)
    return _number(low), _number(high)


def _number(value: Any) -> float:
    return math.nan if value in (None, "") else float(value)


def _rounds(path: Path) -> tuple[StudyRound, ...]:
    return tuple(
        StudyRound(
            row["protocol"],
            row["arm"],
            row["title"],
            int(row["round"]),
            _number(row["macro_f1"]),
            _number(row["low"]),
            _number(row["high"]),
        )
        for row in load_csv(path)
    )


def _fidelity(path: Path) -> Fidelity:
    arrays = load_arrays(path, FIDELITY_ARRAYS)
    classes = tuple(str(name) for name in arrays["classes"])
    names = [name.removeprefix("made_") for name in arrays if name.startswith("made_")]
    made = {name: (arrays[f"made_{name}"], arrays[f"label_{name}"]) for name in names}
    real = arrays["real"]
    for name, (_, label) in made.items():
        of_generator = {f"label_{name}": ArrayType("int32", "M"), f"made_{name}": ArrayType("float16", "MT")}
        check_arrays(arrays, {"real": FIDELITY_ARRAYS["real"], **of_generator})
        check_labels(label, classes)
    check_labels(arrays["real_label"], classes)
    return Fidelity(real, arrays["real_label"], made, float(arrays["sample_rate"]), classes)
