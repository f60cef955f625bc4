"""Result files of a run: predictions, rows of clients, summary."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.config import Config
from bofl_jax.core.padding import bucket_size, pad_to
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.evaluation.group_fairness import GroupMembership, group_summary
from bofl_jax.evaluation.reliability import reliability_summary
from bofl_jax.metrics import (
    ClientMetrics,
    client_metrics,
    compute_metrics,
    fairness,
    to_summary,
    unseen_class_recall,
)
from bofl_jax.metrics.report import json_number
from bofl_jax.partition import class_counts, label_divergence
from bofl_jax.results.predictions import MODELS
from bofl_jax.results.requests import RequestTotals
from bofl_jax.results.rounds import RoundRecord
from bofl_jax.results.summary import SummaryRecord, ledger_summary, timing_of


class RunPredictions:
    """The test probabilities of a run, client after client.

    Args:
        problem: the federated problem of the run.
        probability: model ("global", "personalised") -> float32[N, K], of the models that exist.
    """

    def __init__(self, problem: FederatedProblem, probability: dict[str, np.ndarray]) -> None:
        self.problem = problem
        self.probability = probability
        self.sample, self.client = problem.population.test.flat()
        self.label = problem.samples.y[self.sample]
        self._mask = np.arange(bucket_size(len(self.label))) < len(self.label)

    def measure(self, model: str) -> dict[str, Any] | None:
        """All registered metrics of one model, as ``test`` of ``summary.json`` holds them; None without the model."""
        if model not in self.probability:
            return None
        classes = self.problem.samples.classes
        probability, label = self._padded(self.probability[model], self.label)
        return to_summary(compute_metrics(probability, label, jnp.asarray(self._mask), tuple(classes)), classes)

    def reliability(self, reference: tuple[np.ndarray, np.ndarray] | None) -> dict[str, Any]:
        """``safety`` of ``summary.json``, by model; None for a model that does not exist.

        Args:
            reference: float32[M, K] and int32[M], predictions of the shared model on samples that it has not seen.
        """
        return {model: self._reliability(model, reference if model == "global" else None) for model in MODELS}

    def _reliability(self, model: str, reference: tuple[np.ndarray, np.ndarray] | None) -> dict[str, Any] | None:
        if model not in self.probability:
            return None
        return reliability_summary(self.probability[model], self.label, self.problem.samples.classes, reference)

    def _padded(self, *columns: np.ndarray) -> list[jax.Array]:
        """Columns padded with zeros, so that runs of similar sizes share compiled metrics."""
        return [jnp.asarray(pad_to(column, len(self._mask))) for column in columns]

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of ``predictions.npz``."""
        samples, population = self.problem.samples, self.problem.population
        arrays = {
            "label": self.label.astype(np.int32),
            "client": self.client,
            "subject": samples.subject[self.sample].astype(np.int32),
            "sample": self.sample,
            "time": samples.time[self.sample].astype(np.float64),
            **{f"{model}_probability": probability for model, probability in self.probability.items()},
            "classes": np.array(samples.classes),
            "client_names": np.array(population.names),
            "subject_names": np.array(samples.subjects),
            "person_names": np.array(samples.persons),
        }
        if self._membership:
            arrays |= {"group": self._membership.group, "group_names": np.array(self._membership.names)}
        return arrays

    @cached_property
    def _membership(self) -> GroupMembership | None:
        """The groups of people of the test samples; None where groups are not compared."""
        groups, samples = self.problem.groups, self.problem.samples
        if groups is None:
            return None
        subject = samples.subject[self.sample]
        person = np.array(samples.persons)[subject]
        return GroupMembership(self.problem.config.evaluate.groups, groups.names, groups.subject_group[subject], person)

    def fairness(self) -> dict[str, Any]:
        """``fairness`` of ``summary.json``: how client accuracies spread, and recall of groups, by model."""
        return {model: self._fairness(model) for model in MODELS if model in self.probability}

    def _fairness(self, model: str) -> dict[str, Any]:
        per_client = self.client_metrics(model)
        assert per_client is not None
        seen = self.problem.recorded_counts(self.problem.population.adapt) > 0
        columns = self._padded(self.probability[model], self.label, self.client)
        unseen = unseen_class_recall(*columns, jnp.asarray(seen), jnp.asarray(self._mask))
        found: dict[str, Any] = fairness(per_client.accuracy, per_client.support > 0).as_dict() | {
            "unseen_class_recall": json_number(unseen.recall),
            "unseen_class_support": int(unseen.support),
        }
        if not self._membership:
            return found
        classes = self.problem.samples.classes
        return found | {"groups": group_summary(self.probability[model], self.label, classes, self._membership)}

    def client_metrics(self, model: str) -> ClientMetrics | None:
        """The metrics of every client under one model, on the host; None without the model."""
        if model not in self.probability:
            return None
        clients = self.problem.population.clients
        columns = self._padded(self.probability[model], self.label, self.client)
        measured: ClientMetrics = jax.device_get(client_metrics(*columns, clients, jnp.asarray(self._mask)))
        return measured


def client_rows(predictions: RunPredictions, contribution: np.ndarray | None = None) -> list[dict[str, Any]]:
    """The rows of ``clients.csv``; an undefined number is None, an empty field.

    Args:
        predictions: of all test samples.
        contribution: float64[C], the clients' contributions, or None.
    """
    problem = predictions.problem
    train, test = (problem.recorded_counts(rows) for rows in (problem.population.train, problem.population.test))
    counts = {"train": train, "test": test}
    if problem.synthetic:
        samples = problem.samples
        counts["synthetic"] = class_counts(problem.population.train, samples.y, len(samples.classes)) - train
    divergence = label_divergence(train)
    measured = {model: predictions.client_metrics(model) for model in MODELS}
    return [
        {
            "client": name,
            "subject": _subject(problem, client),
            **_count_fields({role: count[client] for role, count in counts.items()}, problem.samples.classes),
            "label_divergence": json_number(divergence[client]),
            **_metric_fields(measured, client),
            **({} if contribution is None else {"contribution": float(contribution[client])}),
        }
        for client, name in enumerate(problem.population.names)
    ]


def _subject(problem: FederatedProblem, client: int) -> str:
    """The subject of a client's samples, or how many subjects they have."""
    parts = (problem.population.train, problem.population.test)
    subjects = np.unique(problem.samples.subject[np.concatenate([rows.of(client) for rows in parts])])
    return problem.samples.subjects[subjects[0]] if len(subjects) == 1 else f"{len(subjects)} subjects"


def _count_fields(counts: dict[str, np.ndarray], classes: Sequence[str]) -> dict[str, int]:
    """Numbers of samples by role, then by role and class; those of synthetic samples together at the end."""
    totals = {role: {f"n_{role}": int(count.sum())} for role, count in counts.items()}
    by_class = {
        role: {f"{role}_{name}": int(n) for name, n in zip(classes, count, strict=True)}
        for role, count in counts.items()
    }
    fields = totals["train"] | totals["test"] | by_class["train"] | by_class["test"]
    return fields | totals.get("synthetic", {}) | by_class.get("synthetic", {})


def _metric_fields(measured: dict[str, ClientMetrics | None], client: int) -> dict[str, float | None]:
    return {
        f"{model}_{field}": None if metrics is None else json_number(getattr(metrics, field)[client])
        for model, metrics in measured.items()
        for field in ("accuracy", "macro_f1")
    }


def measure_models(predictions: RunPredictions) -> dict[str, Any]:
    """``test`` and ``fairness`` of ``summary.json``, which the chain vouches for."""
    return {"test": {model: predictions.measure(model) for model in MODELS}, "fairness": predictions.fairness()}


def summarise(
    measured: dict[str, Any],
    config: Config,
    records: Sequence[RoundRecord],
    mode: str,
    head_hash: str,
    compile_s: float,
    synthesis: RequestTotals | None = None,
) -> SummaryRecord:
    """Assemble ``summary.json`` of a completed run.

    Args:
        measured: from `measure_models`.
        config: the run's configuration.
        records: the lines of ``rounds.jsonl``.
        mode: ledger mode.
        head_hash: hash of the chain's last block, or "".
        compile_s: seconds spent on compiling.
        synthesis: totals of the requests for synthetic samples; None if there was no request.
    """
    return {
        "test": measured["test"],
        "fairness": measured["fairness"],
        "synthesis": synthesis,
        "ledger": ledger_summary(records, mode, head_hash),
        "timing": timing_of(records, compile_s),
        "config_sha256": config.sha256().hex(),
    }
