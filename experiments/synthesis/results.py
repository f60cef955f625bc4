"""Counts of every run in one small file, pieces.npz, which is committed."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import bofl_jax as bofl
from bofl_jax.metrics import group_confusions
from bofl_jax.results import is_complete, read_clients, read_predictions, read_requests
from bofl_jax.results.writing import write_arrays
from bofl_jax.synthesis.gates import QualityScores
from experiments.common.contrasts import person_index
from experiments.common.files import read_arrays
from experiments.synthesis.plan import ARMS, PROTOCOLS

MODELS = ("global", "personalised")
SPECIFICITY = 0.95
OUTCOMES = ("asked", "rejected", "failed", "refused", "used")
"""Requests; those rejected by the contract, by the quality gates, by the client's own validation; samples used."""
SCORES = (*QualityScores._fields, "copies")
"""Quality scores of generators."""
DRAWS = 400
"""Draws of people for the intervals of the curves; in the first each person is drawn once."""


class RunCounts(NamedTuple):
    """Counts of one run."""

    confusion: np.ndarray  # int32[2, C, K, K], of both models
    labelled: np.ndarray  # int32[C, K], real training samples
    outcome: np.ndarray  # int32[5], of OUTCOMES
    scores: np.ndarray  # float32[K, 8], of SCORES: means over the scored batches
    curves: np.ndarray  # float32[2, K - 1, 2], of rare classes: AUPRC, and recall at SPECIFICITY on the same samples


RunName = tuple[str, str, int]
"""Protocol, arm, seed."""


class StudyResults(NamedTuple):
    """Counts of all runs.

    Attributes:
        people: int[C], the person of each client.
        classes: names of the K classes.
        runs: the counts of each run.
        draws: (protocol, arm) -> float32[2, K - 1, 2, DRAWS], the curves of an arm in each draw of people: means over
            the seeds that all arms of the protocol have. Every arm has the same draws.
    """

    people: np.ndarray
    classes: tuple[str, ...]
    runs: dict[RunName, RunCounts]
    draws: dict[tuple[str, str], np.ndarray]

    def arms(self, protocol: str) -> list[str]:
        """The arms that have runs under a protocol."""
        present = {arm for p, arm, _ in self.runs if p == protocol}
        return [arm for arm in ARMS if arm in present]

    def protocols(self) -> list[str]:
        """The protocols that have runs."""
        return list(dict.fromkeys(protocol for protocol, _, _ in self.runs))

    def seeds(self, protocol: str) -> list[int]:
        """The seeds that are complete in every arm of a protocol."""
        return common_seeds(self.runs, protocol)


def common_seeds(names: Iterable[RunName], protocol: str) -> list[int]:
    """The seeds that are complete in every arm that has runs.

    Args:
        names: names of the runs.
        protocol: name of the protocol.
    """
    by_arm: dict[str, set[int]] = {}
    for p, arm, seed in names:
        if p == protocol:
            by_arm.setdefault(arm, set()).add(seed)
    return sorted(set.intersection(*by_arm.values())) if by_arm else []


def collect(work: Path, protocols: Collection[str] = tuple(PROTOCOLS)) -> StudyResults:
    """Read all complete runs of some protocols in a folder, in the order of the plan.

    Args:
        work: folder of the run directories.
        protocols: names of the protocols.

    Raises:
        BoflError: if there is no complete run.
    """
    folders = {
        (protocol, arm, int(folder.name.rpartition("seed")[2])): folder
        for protocol in protocols
        for arm in ARMS
        for folder in sorted(work.glob(f"{protocol}-{arm}-seed*"))
        if is_complete(folder)
    }
    if not folders:
        command = f"python -m experiments.synthesis.run --work {work}"
        raise bofl.BoflError(f"there is no complete run in {work}: carry some out with {command}")
    people, classes = read_people(next(iter(folders.values())))
    weight = draw_people(int(people.max()) + 1)
    seeds = {protocol: common_seeds(folders, protocol) for protocol in protocols}
    runs: dict[RunName, RunCounts] = {}
    draws: dict[tuple[str, str], Any] = {}
    for (protocol, arm, seed), folder in folders.items():
        if seed in seeds[protocol]:
            runs[protocol, arm, seed], drawn = read_run(folder, people, weight)
            draws[protocol, arm] = draws.get((protocol, arm), 0) + drawn / len(seeds[protocol])
    return StudyResults(people, tuple(classes), runs, {name: one.astype(np.float32) for name, one in draws.items()})


def save(results: StudyResults, path: Path) -> None:
    """Write a file that `load` reads.

    Args:
        results: the results.
        path: the file.
    """
    columns = {field: np.stack([getattr(one, field) for one in results.runs.values()]) for field in RunCounts._fields}
    head = {
        "people": results.people,
        "classes": np.array(results.classes),
        "names": np.array(["/".join(map(str, name)) for name in results.runs]),
        "arms": np.array(["/".join(name) for name in results.draws]),
        "draws": np.stack(list(results.draws.values())),
    }
    write_arrays(path, head | columns)


def load(path: Path) -> StudyResults:
    """Read what `save` wrote.

    Raises:
        BoflError: if there is no such file.
    """
    if not path.exists():
        raise bofl.BoflError(f"{path} is missing: name the folder of the run directories with --work")
    columns = read_arrays(path)
    runs = {}
    for index, text in enumerate(columns["names"]):
        protocol, arm, seed = str(text).split("/")
        runs[protocol, arm, int(seed)] = RunCounts(*(columns[field][index] for field in RunCounts._fields))
    draws = {}
    for index, text in enumerate(columns["arms"]):
        protocol, arm = str(text).split("/")
        draws[protocol, arm] = columns["draws"][index]
    return StudyResults(columns["people"], tuple(map(str, columns["classes"])), runs, draws)


def select(results: StudyResults, protocols: Iterable[str], arms: Iterable[str]) -> StudyResults:
    """The results of some arms under some protocols.

    Args:
        results: all results.
        protocols: names of the protocols.
        arms: names of the arms.
    """
    wanted = set(itertools.product(protocols, arms))
    runs = {name: counts for name, counts in results.runs.items() if name[:2] in wanted}
    return results._replace(runs=runs, draws={name: draws for name, draws in results.draws.items() if name in wanted})


def merge(results: StudyResults, other: StudyResults) -> StudyResults:
    """Both results, in the order of the plan. An arm that both have is taken from the first.

    Args:
        results: the first results.
        other: results whose further arms are added.

    Raises:
        BoflError: if a protocol has different seeds in the two: means would be over different seeds.
    """
    added = [name for name in other.draws if name not in results.draws]
    for protocol in {protocol for protocol, _ in results.draws} & {protocol for protocol, _ in added}:
        mine, theirs = (one.seeds(protocol) for one in (results, other))
        if mine != theirs:
            raise bofl.BoflError(
                f"{protocol} has seeds {mine} in one part and {theirs} in the other: run the same seeds"
            )
    runs = {name: counts for name, counts in other.runs.items() if name[:2] in added} | results.runs
    draws = {
        name: (other if name in added else results).draws[name] for name in _in_plan_order({*added, *results.draws})
    }
    return results._replace(runs={name: runs[name] for name in _in_plan_order(runs)}, draws=draws)


def _in_plan_order(names: Iterable[tuple]) -> list[tuple]:
    """Sort names that begin with a protocol and an arm."""
    protocols, arms = list(PROTOCOLS), list(ARMS)
    return sorted(names, key=lambda name: (protocols.index(name[0]), arms.index(name[1]), *name[2:]))


def read_run(folder: Path, people: np.ndarray, weight: np.ndarray) -> tuple[RunCounts, np.ndarray]:
    """The counts of a run, and its curves float64[2, K - 1, 2, DRAWS] in each draw of people.

    Args:
        folder: the run directory.
        people: int[C], the person of each client.
        weight: int[DRAWS, P], how often each person is drawn.
    """
    predictions, clients = read_predictions(folder), read_clients(folder)
    classes, label = predictions.classes, predictions.label
    labelled = np.stack([clients.counts["train"][name] for name in classes], axis=1).astype(np.int32)
    requests = read_requests(folder)
    probability = [predictions.models[model] for model in MODELS]
    person = people[predictions.client]
    drawn = np.array(
        [[curves(p[:, k], label == k, person, weight) for k in range(1, len(classes))] for p in probability]
    )
    scores = [mean_scores([line for line in requests if line["class"] == name]) for name in classes]
    counts = RunCounts(
        np.stack(
            [np.asarray(group_confusions(p, label, predictions.client, len(labelled)), np.int32) for p in probability]
        ),
        labelled,
        count_outcomes(requests),
        np.array(scores, np.float32),
        drawn[..., 0].astype(np.float32),
    )
    return counts, drawn


def draw_people(count: int) -> np.ndarray:
    """int[DRAWS, P]: how often each of P people is drawn."""
    rng = np.random.default_rng(0)
    resampled = rng.multinomial(count, np.full(count, 1 / count), DRAWS - 1)
    return np.concatenate([np.ones((1, count), int), resampled])


def curves(score: np.ndarray, positive: np.ndarray, person: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """AUPRC (average precision) of a class, and the best recall of a threshold with a specificity of SPECIFICITY.

    Args:
        score: float32[N], probability of the class.
        positive: bool[N], the samples of the class.
        person: int[N], in [0, P).
        weight: int[B, P], how often each person is drawn.

    Returns:
        float64[2, B]; NaN in draws without a sample of the class.
    """
    thresholds = np.unique(score[positive])  # recall changes only there
    if not len(thresholds):
        return np.full((2, len(weight)), np.nan)
    true, false = (count_reaching(score[part], person[part], thresholds, weight) for part in (positive, ~positive))
    negatives = np.bincount(person[~positive], minlength=weight.shape[1]) @ weight.T
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = true / true[:, :1]
        precision = true / (true + false)
        gained = recall - np.concatenate([recall[:, 1:], np.zeros((len(weight), 1))], axis=1)
        area = np.where(gained > 0, precision * gained, 0).sum(axis=1)
        specific = false <= (1 - SPECIFICITY) * negatives[:, None]
        best = np.where(specific, recall, 0).max(axis=1)
    missing = true[:, 0] == 0
    return np.where(missing, np.nan, np.stack([area, best]))


def count_reaching(score: np.ndarray, person: np.ndarray, thresholds: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """float64[B, U]: how many scores are at least as large as each threshold, in each draw of people.

    Args:
        score: float32[N].
        person: int[N], in [0, P).
        thresholds: float32[U], rising.
        weight: int[B, P], how often each person is drawn.
    """
    highest = np.searchsorted(thresholds, score, side="right") - 1  # the highest threshold that a score reaches
    cell = person[highest >= 0] * len(thresholds) + highest[highest >= 0]
    counts = np.bincount(cell, minlength=weight.shape[1] * len(thresholds)).reshape(-1, len(thresholds))
    return (weight @ counts.astype(float))[:, ::-1].cumsum(axis=1)[:, ::-1]


def read_people(folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """int[C], the person of each client of a run, and the names of its K classes."""
    predictions = read_predictions(folder)
    return person_index(predictions.client_names), predictions.classes


def count_outcomes(requests: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """int32[5]: how many requests had each of OUTCOMES."""
    rejected = sum(line["state"] == "rejected" for line in requests)
    refused = sum(line.get("failed") == ["validation"] for line in requests)
    failed = sum(bool(line.get("failed")) for line in requests) - refused
    return np.array([len(requests), rejected, failed, refused, sum(line["used"] for line in requests)], np.int32)


def mean_scores(requests: Sequence[Mapping[str, Any]]) -> list[float]:
    """Mean of each of SCORES over the batches that were scored; NaN where none was."""
    scored = [line["scores"] for line in requests if line.get("scores")]
    columns = [[one[name] for one in scored if one.get(name) is not None] for name in SCORES]
    return [float(np.mean(column)) if column else np.nan for column in columns]
