"""Results of a run as plain tables: predictions, clients, summary."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np

from bofl_jax.config import Config
from bofl_jax.core.padding import bucket_size, pad_to
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.evaluation.group_fairness import GroupMembership, group_summary
from bofl_jax.evaluation.reliability import reliability_summary
from bofl_jax.metrics import client_metrics, compute_metrics, fairness, to_summary, unseen_class_recall
from bofl_jax.metrics.report import json_number
from bofl_jax.partition import class_counts, label_divergence
from bofl_jax.results.requests import RequestTotals
from bofl_jax.results.rounds import RoundRecord
from bofl_jax.results.summary import SummaryRecord, ledger_summary, timing_of


class TestPredictions:
    """The test probabilities of a run, client after client.

    Attributes:
        probability: model name ("global", "personalised") -> float32[N, K]; a model that does not exist is left out.
    """

    def __init__(self, setting: FederatedProblem, probability: dict[str, np.ndarray]) -> None:
        self.problem = setting
        self.probability = probability
        self.sample, self.client = setting.population.test.flat()
        self.label = setting.samples.y[self.sample]
        self._mask = np.arange(bucket_size(len(self.label))) < len(self.label)

    def measure(self, model: str) -> dict[str, Any] | None:
        """M of one model; None if there is no such model."""
        if model not in self.probability:
            return None
        measured = compute_metrics(self._padded(self.probability[model]), self._padded(self.label), self._mask)
        return to_summary(measured, self.problem.samples.classes)

    def reliability(self, known: tuple[np.ndarray, np.ndarray] | None) -> dict[str, Any]:
        """``safety`` of ``summary.json``, by model; None for a model that does not exist.

        Args:
            known: float32[M, K] and int32[M]: predictions of the shared model on samples that it has not seen.
        """
        classes = self.problem.samples.classes
        return {
            model: reliability_summary(
                self.probability[model], self.label, classes, known if model == "global" else None
            )
            if model in self.probability
            else None
            for model in ("global", "personalised")
        }

    def _padded(self, column: np.ndarray) -> np.ndarray:
        """The same with zeros added: runs that hardly differ in their number of samples share compiled metrics."""
        return pad_to(column, len(self._mask))

    def arrays(self) -> dict[str, np.ndarray]:
        """What ``predictions.npz`` holds."""
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
        """Of which groups of people the test samples are; None where groups are not compared."""
        groups, samples = self.problem.groups, self.problem.samples
        if groups is None:
            return None
        subject = samples.subject[self.sample]
        person = np.array(samples.persons)[subject]
        return GroupMembership(self.problem.config.evaluate.groups, groups.names, groups.subject_group[subject], person)

    def fairness(self) -> dict[str, Any]:
        """Per model: fairness of the clients' accuracies, recall of classes that they lack, groups of people."""
        setting = self.problem
        seen = setting.recorded_counts(setting.population.adapt) > 0
        result = {}
        for model in ("global", "personalised"):
            per_client = self.client_metrics(model)
            if per_client is not None:
                columns = map(self._padded, (self.probability[model], self.label, self.client))
                unseen = unseen_class_recall(*columns, seen, self._mask)
                result[model] = fairness(per_client.accuracy, per_client.support > 0).as_dict() | {
                    "unseen_class_recall": json_number(unseen.unseen_class_recall),
                    "unseen_class_support": int(unseen.unseen_class_support),
                }
                if self._membership:
                    probability, classes = self.probability[model], setting.samples.classes
                    result[model]["groups"] = group_summary(probability, self.label, classes, self._membership)
        return result

    def client_metrics(self, model: str) -> Any:
        """Per-client metrics of one model, or None."""
        if model not in self.probability:
            return None
        clients = self.problem.population.clients
        columns = map(self._padded, (self.probability[model], self.label, self.client))
        return jax.device_get(client_metrics(*columns, clients=clients, mask=self._mask))


def client_rows(predictions: TestPredictions, contribution: np.ndarray | None = None) -> list[dict[str, Any]]:
    """The rows of ``clients.csv``; an undefined number is an empty field.

    Args:
        predictions: of all test samples.
        contribution: float64[C], what each client was worth, or None.
    """
    setting = predictions.problem
    samples, population = setting.samples, setting.population
    counts = {
        part: setting.recorded_counts(rows) for part, rows in (("train", population.train), ("test", population.test))
    }
    synthetic = class_counts(population.train, samples.y, len(samples.classes)) - counts["train"]
    divergence = label_divergence(counts["train"])
    measured = {model: predictions.client_metrics(model) for model in ("global", "personalised")}
    rows = []
    for client, name in enumerate(population.names):
        own = np.concatenate([population.train.of(client), population.test.of(client)])
        subjects = np.unique(samples.subject[own])
        row: dict[str, Any] = {
            "client": name,
            "subject": samples.subjects[subjects[0]] if len(subjects) == 1 else f"{len(subjects)} subjects",
        }
        for part in counts:
            row[f"n_{part}"] = int(counts[part][client].sum())
        for part in counts:
            row |= {f"{part}_{c}": int(n) for c, n in zip(samples.classes, counts[part][client], strict=True)}
        if setting.synthetic:
            row["n_synthetic"] = int(synthetic[client].sum())
            row |= {f"synthetic_{c}": int(n) for c, n in zip(samples.classes, synthetic[client], strict=True)}
        row["label_divergence"] = json_number(divergence[client])
        for model, result in measured.items():
            for field in ("accuracy", "macro_f1"):
                row[f"{model}_{field}"] = None if result is None else json_number(getattr(result, field)[client])
        if contribution is not None:
            row["contribution"] = float(contribution[client])
        rows.append(row)
    return rows


def measure_models(predictions: TestPredictions) -> dict[str, Any]:
    """What the summary says of the models: ``test`` and ``fairness``."""
    return {
        "test": {model: predictions.measure(model) for model in ("global", "personalised")},
        "fairness": predictions.fairness(),
    }


def summarise(
    measured: dict[str, Any],
    config: Config,
    records: Sequence[RoundRecord],
    mode: str,
    head_hash: str,
    compile_s: float,
    synthesis: RequestTotals | None = None,
) -> SummaryRecord:
    """``summary.json`` of a completed run.

    Args:
        measured: from `measure`.
        config: the run's configuration.
        records: the lines of ``rounds.jsonl``.
        mode: ledger mode.
        head_hash: hash of the chain's last block, or "".
        compile_s: seconds spent compiling.
        synthesis: what became of requests for synthetic samples; None where there was none.
    """
    return {
        "test": measured["test"],
        "fairness": measured["fairness"],
        "synthesis": synthesis,
        "ledger": ledger_summary(records, mode, head_hash),
        "timing": timing_of(records, compile_s),
        "config_sha256": config.sha256().hex(),
    }
