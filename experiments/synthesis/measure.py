"""Numbers of the tables: metrics of each arm, their intervals over people, and differences between arms."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bofl_jax.metrics import MatrixMetric, macro_f1, paired_permutation, precision, recall
from experiments.common.contrasts import (
    adjust_by_holm,
    metric_by_seed,
    people_interval,
    sd_over_seeds,
    sum_by_person,
    tested_people,
)
from experiments.synthesis.plan import ARMS, DOSE, QUOTA
from experiments.synthesis.results import MODELS, OUTCOMES, SCORES, StudyResults

REFERENCE = "none"
CURVES = ("auprc", "recall_at_spec95")


def measure(study: StudyResults, protocol: str) -> list[dict[str, Any]]:
    """A row for each arm and model of a protocol.

    Args:
        study: counts of all runs.
        protocol: name of the protocol.
    """
    arms, seeds = study.arms(protocol), study.seeds(protocol)
    confusions = {
        (arm, model): by_person(study, [study.runs[protocol, arm, seed].confusion[index] for seed in seeds])
        for arm in arms
        for index, model in enumerate(MODELS)
    }
    rows = []
    for model in MODELS:
        of_model = {arm: confusions[arm, model] for arm in arms}
        added = [result_row(study, protocol, arm, model, of_model) for arm in arms]
        adjust_by_holm([row["difference"] for row in added if "difference" in row])
        rows += added
    return rows


def by_person(study: StudyResults, confusions: Sequence[np.ndarray]) -> np.ndarray:
    """int[S, P, K, K] of int[C, K, K] of each seed; people without test samples are left out.

    Args:
        study: counts of all runs, for the people of the clients.
        confusions: confusion matrices of each seed.
    """
    everyone = sum_by_person(np.stack(confusions), study.people)
    return everyone[:, tested_people(everyone)]


def result_row(
    study: StudyResults, protocol: str, arm: str, model: str, confusions: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The row of an arm's model in results.json.

    Args:
        study: counts of all runs.
        protocol: name of the protocol.
        arm: name of the arm.
        model: ``global`` or ``personalised``.
        confusions: int[S, P, K, K] of the model in each arm.
    """
    matrices, plan, seeds = confusions[arm], ARMS[arm], study.seeds(protocol)
    outcome = np.mean([study.runs[protocol, arm, seed].outcome for seed in seeds], axis=0)
    row = {
        "protocol": protocol,
        "arm": arm,
        "title": plan.title,
        "model": model,
        "x": {"dose": plan.dose} if plan.quota in ("", QUOTA) else {},
        "generator": plan.generator,
        "quota": plan.quota,
        "dose": plan.dose,
        "seeds": len(seeds),
        "people": matrices.shape[1],
        "outcome": dict(zip(OUTCOMES, outcome, strict=True)),
        "metrics": {
            "macro_f1": mean_and_interval(macro_f1, matrices),
            **{f"recall_{c}": mean_and_interval(class_recall(k), matrices) for k, c in enumerate(study.classes)},
            **{f"precision_{c}": mean_and_interval(class_precision(k), matrices) for k, c in enumerate(study.classes)},
            **curve_metrics(study, protocol, arm, model),
        },
    }
    reference = confusions.get(REFERENCE)
    if arm != REFERENCE and reference is not None:
        gap = mean_and_interval(macro_f1, matrices, reference)
        p = paired_permutation(macro_f1, matrices, reference)
        row["difference"] = {"from": REFERENCE, "metric": "macro_f1", **gap, "p": p}
        row["gains"] = {"from": REFERENCE, "metrics": auprc_gains(study, protocol, (arm, REFERENCE), model)}
    return row


@functools.cache
def class_recall(label: int) -> MatrixMetric:
    """The recall of one class; the same function each time, so that it is compiled once."""
    return lambda matrix: recall(matrix)[label]


@functools.cache
def class_precision(label: int) -> MatrixMetric:
    """The precision of one class; the same function each time, so that it is compiled once."""
    return lambda matrix: precision(matrix)[label]


def mean_and_interval(
    metric: MatrixMetric, confusions: np.ndarray, reference: np.ndarray | None = None
) -> dict[str, Any]:
    """Mean of a metric over the seeds, its standard deviation, and the interval over people.

    Args:
        metric: metric of one confusion matrix.
        confusions: int[S, P, K, K].
        reference: int[S, P, K, K] of an arm whose metric is subtracted.
    """
    by_seed = metric_by_seed(metric, confusions)
    if reference is not None:
        by_seed = by_seed - metric_by_seed(metric, reference)
    found = people_interval(metric, confusions, reference)
    return {"mean": found.estimate, "sd": sd_over_seeds(by_seed), "interval": [found.low, found.high]}


def curve_metrics(study: StudyResults, protocol: str, arm: str, model: str) -> dict[str, Any]:
    """AUPRC and recall at a specificity, of the rare classes.

    Args:
        study: counts of all runs.
        protocol: name of the protocol.
        arm: name of the arm.
        model: ``global`` or ``personalised``.
    """
    index = MODELS.index(model)
    by_seed = np.stack([study.runs[protocol, arm, seed].curves[index] for seed in study.seeds(protocol)])
    draws = study.draws[protocol, arm][index]  # [K - 1, 2, DRAWS]
    return {
        f"{name}_{study.classes[k + 1]}": {
            "mean": float(by_seed[:, k, i].mean()),
            "sd": sd_over_seeds(by_seed[:, k, i]),
            "interval": np.nanquantile(draws[k, i], [0.025, 0.975]).tolist(),
        }
        for k in range(draws.shape[0])
        for i, name in enumerate(CURVES)
    }


def macro_f1_gap(study: StudyResults, protocol: str, pair: tuple[str, str]) -> dict[str, Any]:
    """The macro-F1 of the first arm's personal models less the second's.

    Args:
        study: counts of all runs.
        protocol: protocol of both arms.
        pair: the arms.
    """
    index, seeds = MODELS.index("personalised"), study.seeds(protocol)
    first, second = (
        by_person(study, [study.runs[protocol, arm, seed].confusion[index] for seed in seeds]) for arm in pair
    )
    return mean_and_interval(macro_f1, first, second)


def auprc_gains(study: StudyResults, protocol: str, pair: tuple[str, str], model: str) -> dict[str, dict[str, Any]]:
    """The AUPRC of each rare class in the first arm less that in the second.

    Args:
        study: counts of all runs.
        protocol: protocol of both arms.
        pair: the arms.
        model: ``global`` or ``personalised``.
    """
    names = [f"auprc_{label}" for label in study.classes[1:]]
    return {name: curve_gap(study, protocol, pair, model, name) for name in names}


def curve_gap(study: StudyResults, protocol: str, pair: tuple[str, str], model: str, metric: str) -> dict[str, Any]:
    """A curve metric of the first arm's models less the second's, in the draws of people that all arms share.

    Args:
        study: counts of all runs; in the first draw each person is drawn once.
        protocol: protocol of both arms.
        pair: the arms.
        model: ``global`` or ``personalised``.
        metric: one of CURVES and a rare class: ``auprc_S``.
    """
    curve, _, label = metric.rpartition("_")
    index = MODELS.index(model), study.classes.index(label) - 1, CURVES.index(curve)
    first, second = (study.draws[protocol, arm][index] for arm in pair)
    return {"mean": float((first - second)[0]), "interval": np.nanquantile(first - second, [0.025, 0.975]).tolist()}


def generator_scores(study: StudyResults) -> list[dict[str, Any]]:
    """Quality scores of each generator and class, in the arms of the default dose and quota.

    Means over the seeds; None where no batch could be scored.
    """
    return [
        entry
        for protocol, arm in study.draws
        if (ARMS[arm].quota, ARMS[arm].dose) == (QUOTA, DOSE)
        for entry in _arm_scores(study, protocol, arm)
    ]


def _arm_scores(study: StudyResults, protocol: str, arm: str) -> Iterator[dict[str, Any]]:
    runs = [counts.scores for name, counts in study.runs.items() if name[:2] == (protocol, arm)]
    for k, label in enumerate(study.classes[1:], start=1):
        scores = finite_mean(np.stack(runs)[:, k]).tolist()
        known = {key: one if np.isfinite(one) else None for key, one in zip(SCORES, scores, strict=True)}
        head = {"protocol": protocol, "generator": ARMS[arm].generator, "class": label, "seeds": len(runs)}
        yield head | {"scores": known}


def finite_mean(values: np.ndarray) -> np.ndarray:
    """float[8]: means over the runs [R, 8] whose score is finite; NaN where there is none."""
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(finite, values, 0).sum(axis=0) / finite.sum(axis=0)
