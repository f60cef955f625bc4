"""Results of a study, an experiment of many runs. No chain vouches for them.

``results.json`` holds a row for each model of each arm under each protocol, ``rounds.csv`` the scores by round, and
``fidelity.npz`` real and generated beats. Experiments write them with the functions of `bofl_jax.results.writing`.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.results.reading import check_labels, load_arrays, load_csv, load_json, read_file
from bofl_jax.results.records import ArrayType, check_arrays

RESULTS_FILE, STUDY_ROUNDS_FILE, FIDELITY_FILE = "results.json", "rounds.csv", "fidelity.npz"
_FIX = "make it again with the experiment's own script"


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and people."""

    mean: float
    sd: float  # over seeds; NaN where it was not written
    low: float  # lower end of the 95 % interval; NaN where there is none
    high: float


@dataclass(frozen=True)
class Difference:
    """How much better a row is than another arm of its protocol."""

    reference: str  # title of the other arm
    metric: str
    mean: float
    low: float
    high: float
    p: float  # NaN where it was not tested
    p_holm: float  # corrected by Holm's method


@dataclass(frozen=True)
class StudyRow:
    """One row of a study: an arm's model under a protocol."""

    protocol: str
    arm: str
    title: str
    model: str
    x: dict[str, Any]  # "minutes", "alpha" or "dose" -> its value, for the x axis of figures
    factors: dict[str, bool]  # of an ablation: "ledger", "personalisation", "synthesis"
    generator: str  # "" for none
    dose: float  # synthetic samples as a share of a client's own; NaN where it was not written
    used: float  # synthetic samples of all clients together, mean over seeds; NaN where it was not written
    seeds: int
    people: int
    metrics: dict[str, Estimate]
    difference: Difference | None
    gains: dict[str, Difference]  # metric -> how much better than another arm


@dataclass(frozen=True)
class GateScores:
    """Scores of a generator's samples of one class by the quality gates."""

    protocol: str
    generator: str
    label: str  # name of the class
    seeds: int
    scores: dict[str, float]  # gate -> mean over the seeds; NaN where no score could be computed


@dataclass(frozen=True)
class StudyRound:
    """One row of ``rounds.csv``: macro-F1 after a round, with its 95 % interval."""

    protocol: str
    arm: str
    title: str
    round: int
    macro_f1: float
    low: float
    high: float


FIDELITY_ARRAYS = {
    "real_label": ArrayType("int32", "N"),  # index of the class
    "real": ArrayType("float16", "NT"),
    "sample_rate": ArrayType("float64", ""),  # Hz
    "classes": ArrayType("str", "K"),
}
"""Real beats N of T time samples, classes K. Each generator has ``made_NAME`` [M, T] and ``label_NAME`` [M]."""


@dataclass(frozen=True)
class Fidelity:
    """``fidelity.npz``: real beats, and those of generators that were fitted to them."""

    real: np.ndarray  # float16[N, T]
    real_label: np.ndarray  # int32[N], index of the class
    generated: dict[str, tuple[np.ndarray, np.ndarray]]  # generator -> float16[M, T], int32[M]
    sample_rate: float  # Hz
    classes: tuple[str, ...]

    @property
    def sets(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Beats and labels, the real ones first."""
        return {"real": (self.real, self.real_label), **self.generated}


@dataclass(frozen=True)
class Study:
    """The results of a study."""

    name: str
    title: str
    made_by: str  # command
    resampled: str  # what the bootstrap resamples: "people", or "people and seeds"
    note: str  # explanation of the protocols for captions, or ""
    rows: tuple[StudyRow, ...]
    gate_scores: tuple[GateScores, ...] = ()
    rounds: tuple[StudyRound, ...] = ()
    fidelity: Fidelity | None = None
    protocols: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "protocols", tuple(dict.fromkeys(row.protocol for row in self.rows)))


def read_study(folder: Path) -> Study:
    """Read and check a study's results.

    Raises:
        BoflError: one line that names the file that is missing or damaged and says how to fix it.
    """
    study = read_file(folder / RESULTS_FILE, _study, _FIX)
    rounds, beats = folder / STUDY_ROUNDS_FILE, folder / FIDELITY_FILE
    return replace(
        study,
        rounds=read_file(rounds, _rounds, _FIX) if rounds.exists() else (),
        fidelity=read_file(beats, _fidelity, _FIX) if beats.exists() else None,
    )


def _study(path: Path) -> Study:
    written = load_json(path)
    head = written["study"]
    return Study(
        name=str(head["name"]),
        title=str(head["title"]),
        made_by=str(head["made_by"]),
        resampled=str(head["drawn"]),
        note=str(head.get("note", "")),
        rows=tuple(_row(row) for row in written["rows"]),
        gate_scores=tuple(_gate_scores(one) for one in written.get("generators") or ()),
    )


def _row(row: dict[str, Any]) -> StudyRow:
    return StudyRow(
        **{name: str(row[name]) for name in ("protocol", "arm", "title", "model")},
        x=dict(row.get("x") or {}),
        factors={name: bool(value) for name, value in (row.get("factors") or {}).items()},
        generator=str(row.get("generator") or ""),
        dose=_number(row.get("dose")),
        used=_number((row.get("outcome") or {}).get("used")),
        seeds=int(row["seeds"]),
        people=int(row["people"]),
        metrics={name: _estimate(values) for name, values in row["metrics"].items() if values.get("mean") is not None},
        difference=_difference(row["difference"]) if row.get("difference") else None,
        gains=_gains(row["gains"]) if row.get("gains") else {},
    )


def _gains(written: dict[str, Any]) -> dict[str, Difference]:
    known = {name: values for name, values in written["metrics"].items() if values.get("mean") is not None}
    return {name: _difference({**values, "from": written["from"], "metric": name}) for name, values in known.items()}


def _gate_scores(written: dict[str, Any]) -> GateScores:
    return GateScores(
        str(written["protocol"]),
        str(written["generator"]),
        str(written["class"]),
        int(written["seeds"]),
        {name: _number(value) for name, value in written["scores"].items()},
    )


def _estimate(values: dict[str, Any]) -> Estimate:
    return Estimate(float(values["mean"]), _number(values.get("sd")), *_interval(values))


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
    classes = tuple(map(str, arrays["classes"]))
    names = [name.removeprefix("made_") for name in arrays if name.startswith("made_")]
    made = {name: (arrays[f"made_{name}"], arrays[f"label_{name}"]) for name in names}
    real = arrays["real"]
    for name, (_, label) in made.items():
        of_generator = {f"label_{name}": ArrayType("int32", "M"), f"made_{name}": ArrayType("float16", "MT")}
        check_arrays(arrays, {"real": FIDELITY_ARRAYS["real"], **of_generator})
        check_labels(label, classes)
    check_labels(arrays["real_label"], classes)
    return Fidelity(real, arrays["real_label"], made, float(arrays["sample_rate"]), classes)
