"""What is kept of every run, small enough to be committed: pieces.npz."""

import csv
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from plan import ARMS, PROTOCOLS

from bofl_jax.data import person_of
from bofl_jax.metrics import confusions
from bofl_jax.synthesis.gates import Scores

MODELS = ("global", "personalised")
SPECIFICITY = 0.95
OUTCOMES = ("asked", "rejected", "failed", "refused", "used")
"""Of requests: by the contract, by the quality gates, by the client's own validation; and samples that were used."""
SCORES = (*Scores._fields, "copies")
"""Of generators, as the gates judged them."""


DRAWS = 400
"""Of people, for the intervals of the curves; the first is everyone once."""


class Piece(NamedTuple):
    """One run."""

    confusion: np.ndarray  # int32[2, C, K, K], of both models
    labelled: np.ndarray  # int32[C, K], real samples that train
    outcome: np.ndarray  # int32[5], of OUTCOMES
    scores: np.ndarray  # float32[K, 8], of SCORES: means over judged batches
    curves: np.ndarray  # float32[2, K - 1, 2], of rare classes: AUPRC and recall at SPECIFICITY on the same samples


Name = tuple[str, str, int]
"""Protocol, arm, seed."""


class Pieces(NamedTuple):
    """All runs.

    Attributes:
        people: int[C], whose client it is.
        classes: K names.
        of: the runs.
        draws: float32[2, K - 1, 2, DRAWS] of an arm, (protocol, arm): its curves with people drawn anew, mean over the
            seeds that all arms of the protocol have. Every arm has the same draws.
    """

    people: np.ndarray
    classes: tuple[str, ...]
    of: dict[Name, Piece]
    draws: dict[tuple[str, str], np.ndarray]

    def arms(self, protocol: str) -> list[str]:
        """Those that were begun."""
        begun = {arm for p, arm, _ in self.of if p == protocol}
        return [arm for arm in ARMS if arm in begun]


def common_seeds(names: Iterable[Name], protocol: str) -> list[int]:
    """Those that are complete in every arm that was begun."""
    of_arm: dict[str, set[int]] = {}
    for p, arm, seed in names:
        if p == protocol:
            of_arm.setdefault(arm, set()).add(seed)
    return sorted(set.intersection(*of_arm.values())) if of_arm else []


def collect(work: Path, protocols: Iterable[str] = tuple(PROTOCOLS)) -> Pieces:
    """Read all complete runs of some protocols in a folder, in the order of the plan.

    Raises:
        SystemExit: if there is none.
    """
    folders = {
        (protocol, arm, int(folder.name.rpartition("seed")[2])): folder
        for protocol in protocols
        for arm in ARMS
        for folder in sorted(work.glob(f"{protocol}-{arm}-seed*"))
        if (folder / "summary.json").exists()
    }
    if not folders:
        raise SystemExit(f"there is no complete run in {work}: make some with run.py --work {work}")
    people, classes = clients_of(next(iter(folders.values())))
    weight = drawn_people(int(people.max()) + 1)
    seeds = {protocol: common_seeds(folders, protocol) for protocol in protocols}
    runs: dict[Name, Piece] = {}
    draws: dict[tuple[str, str], Any] = {}
    for (protocol, arm, seed), folder in folders.items():
        if seed in seeds[protocol]:
            runs[protocol, arm, seed], drawn = read(folder, people, weight)
            draws[protocol, arm] = draws.get((protocol, arm), 0) + drawn / len(seeds[protocol])
    return Pieces(people, tuple(classes), runs, {name: one.astype(np.float32) for name, one in draws.items()})


def save(given: Pieces, path: Path) -> None:
    """Write a file that `load` reads."""
    columns = {field: np.stack([getattr(one, field) for one in given.of.values()]) for field in Piece._fields}
    head = {
        "people": given.people,
        "classes": np.array(given.classes),
        "names": np.array(["/".join(map(str, name)) for name in given.of]),
        "arms": np.array(["/".join(name) for name in given.draws]),
        "draws": np.stack(list(given.draws.values())),
    }
    np.savez_compressed(path, allow_pickle=False, **head, **columns)


def load(path: Path) -> Pieces:
    """Read what `save` wrote.

    Raises:
        SystemExit: if there is no such file.
    """
    if not path.exists():
        raise SystemExit(f"{path} is not there: name the folder of the run directories with --work")
    with np.load(path) as arrays:
        columns = {name: arrays[name] for name in arrays.files}
    runs = {}
    for place, text in enumerate(columns["names"]):
        protocol, arm, seed = str(text).split("/")
        runs[protocol, arm, int(seed)] = Piece(*(columns[field][place] for field in Piece._fields))
    draws = {}
    for place, text in enumerate(columns["arms"]):
        protocol, arm = str(text).split("/")
        draws[protocol, arm] = columns["draws"][place]
    return Pieces(columns["people"], tuple(map(str, columns["classes"])), runs, draws)


def part(given: Pieces, protocols: Iterable[str], arms: Iterable[str]) -> Pieces:
    """What it has of some arms under some protocols."""
    taken = set(itertools.product(protocols, arms))
    runs = {name: piece for name, piece in given.of.items() if name[:2] in taken}
    return given._replace(of=runs, draws={name: draws for name, draws in given.draws.items() if name in taken})


def joined(given: Pieces, other: Pieces) -> Pieces:
    """Both, in the order of the plan; an arm that both have is that of ``given``.

    Raises:
        SystemExit: if a protocol of both has other seeds in one: means would be over different ones.
    """
    old = [name for name in other.draws if name not in given.draws]
    for protocol in {protocol for protocol, _ in given.draws} & {protocol for protocol, _ in old}:
        mine, theirs = (common_seeds(one.of, protocol) for one in (given, other))
        if mine != theirs:
            raise SystemExit(f"{protocol} has seeds {mine}, what stands beside it {theirs}: make the same with run.py")
    runs = {name: piece for name, piece in other.of.items() if name[:2] in old} | given.of
    draws = {name: (other if name in old else given).draws[name] for name in _planned({*old, *given.draws})}
    return given._replace(of={name: runs[name] for name in _planned(runs)}, draws=draws)


def _planned(names: Iterable[tuple]) -> list[tuple]:
    """Names that begin with a protocol and an arm, in the order of the plan."""
    protocols, arms = list(PROTOCOLS), list(ARMS)
    return sorted(names, key=lambda name: (protocols.index(name[0]), arms.index(name[1]), *name[2:]))


def read(folder: Path, people: np.ndarray, weight: np.ndarray) -> tuple[Piece, np.ndarray]:
    """What a run directory says, and its curves float64[2, K - 1, 2, DRAWS] for people drawn anew."""
    with np.load(folder / "predictions.npz") as arrays:
        found = {name: arrays[name] for name in arrays.files}
    classes = [str(name) for name in found["classes"]]
    with (folder / "clients.csv").open(newline="") as file:
        labelled = [[int(row[f"train_{name}"]) for name in classes] for row in csv.DictReader(file)]
    lines = requests(folder)
    probability = [found[f"{model}_probability"] for model in MODELS]
    label, person = found["label"], people[found["client"]]
    drawn = np.array(
        [[curves(p[:, k], label == k, person, weight) for k in range(1, len(classes))] for p in probability]
    )
    piece = Piece(
        np.stack([np.asarray(confusions(p, label, found["client"], len(labelled))) for p in probability]),
        np.array(labelled, np.int32),
        outcomes(lines),
        np.array([mean_scores([line for line in lines if line["class"] == name]) for name in classes], np.float32),
        drawn[..., 0].astype(np.float32),
    )
    return piece, drawn


def drawn_people(count: int) -> np.ndarray:
    """int[DRAWS, P]: how often each is drawn."""
    rng = np.random.default_rng(0)
    anew = rng.multinomial(count, np.full(count, 1 / count), DRAWS - 1)
    return np.concatenate([np.ones((1, count), int), anew])


def curves(score: np.ndarray, positive: np.ndarray, person: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """AUPRC (average precision) of a class, and the best recall of a threshold whose specificity is SPECIFICITY.

    Args:
        score: float32[N], probability of the class.
        positive: bool[N].
        person: int[N], in [0, P).
        weight: int[B, P], how often each person counts.

    Returns:
        float64[2, B]; NaN in draws without a sample of the class.
    """
    at = np.unique(score[positive])  # only there does recall change
    if not len(at):
        return np.full((2, len(weight)), np.nan)
    true, false = (reaching(score[part], person[part], at, weight) for part in (positive, ~positive))
    others = np.bincount(person[~positive], minlength=weight.shape[1]) @ weight.T
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = true / true[:, :1]
        precision = true / (true + false)
        gained = recall - np.concatenate([recall[:, 1:], np.zeros((len(weight), 1))], axis=1)
        area = np.where(gained > 0, precision * gained, 0).sum(axis=1)
        specific = false <= (1 - SPECIFICITY) * others[:, None]
        best = np.where(specific, recall, 0).max(axis=1)
    missing = true[:, 0] == 0
    return np.where(missing, np.nan, np.stack([area, best]))


def reaching(score: np.ndarray, person: np.ndarray, at: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """float64[B, U]: how many scores are at least as large as each of U rising thresholds."""
    place = np.searchsorted(at, score, side="right") - 1  # the highest threshold that it reaches
    cell = person[place >= 0] * len(at) + place[place >= 0]
    counts = np.bincount(cell, minlength=weight.shape[1] * len(at)).reshape(-1, len(at))
    return (weight @ counts.astype(float))[:, ::-1].cumsum(axis=1)[:, ::-1]


def clients_of(folder: Path) -> tuple[np.ndarray, list[str]]:
    """int[C], whose client it is (records 201 and 202 are one man), and the K classes."""
    with np.load(folder / "predictions.npz") as arrays:
        names, classes = arrays["client_names"], arrays["classes"]
    people = np.unique([person_of(str(name)) for name in names], return_inverse=True)[1]
    return people, [str(name) for name in classes]


def requests(folder: Path) -> list[dict[str, Any]]:
    """A line for each request of a run."""
    path = folder / "synthesis.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def outcomes(lines: list[dict[str, Any]]) -> np.ndarray:
    """int32[5], of OUTCOMES."""
    rejected = sum(line["state"] == "rejected" for line in lines)
    refused = sum(line.get("failed") == ["validation"] for line in lines)
    failed = sum(bool(line.get("failed")) for line in lines) - refused
    return np.array([len(lines), rejected, failed, refused, sum(line["used"] for line in lines)], np.int32)


def mean_scores(lines: list[Mapping[str, Any]]) -> list[float]:
    """Means over the batches that were judged; NaN where none was."""
    judged = [line["scores"] for line in lines if line.get("scores")]
    columns = [[one[name] for one in judged if one.get(name) is not None] for name in SCORES]
    return [float(np.mean(column)) if column else np.nan for column in columns]
