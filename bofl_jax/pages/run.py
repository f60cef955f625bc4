"""The data of a run's page, from its result files and its audited chain."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.metrics import METRICS, Place, reliability_points
from bofl_jax.pages.provenance import ledger_data
from bofl_jax.results import Clients, Explanations, RunResults, Summary, read_run
from bofl_jax.results.clients import ROLES
from bofl_jax.results.environment import read_environment
from bofl_jax.results.predictions import MODELS
from bofl_jax.results.reading import read_file
from bofl_jax.results.records import flatten
from bofl_jax.results.requests import RequestRecord, read_requests
from bofl_jax.results.run_config import read_config
from bofl_jax.results.summary import SUMMARY_FILE

EXAMPLES = 24
"""Number of explained samples on a page, at most: more would make a long page that nobody looks through."""

DIGITS = 4
"""Digits of a drawn number: nobody sees more in a drawing."""

_CLIENT_METRICS = ("accuracy", "macro_f1")
_CLIENT_NUMBERS = ("n_train", "n_test", "n_synthetic", "label_divergence")
_LEDGER = ("rounds", "gas_per_round", "bytes_total", "cpu_ms_per_round", "accepted", "rejected", "head_hash")


def page_data(directory: Path) -> dict[str, Any]:
    """The data of a run's page.

    Args:
        directory: the run directory.

    Raises:
        BoflError: if a result file is missing or damaged.
        VerificationError: if the audit of the run fails.
    """
    run = read_run(directory)
    config = read_config(directory).tables
    classes = run.predictions.classes
    return {
        "kind": "run",
        **_heading(config, run),
        "config": _sections(config),
        **read_file(directory / SUMMARY_FILE, lambda _: _summary(run.summary)),
        "classes": classes,
        "curves": _curves(run),
        "clients": _clients(run.clients, classes),
        "reliability": _reliability(run),
        "beats": _explained(run.explanations),
        "requests": [_request(record, config) for record in read_requests(directory)],
        "environment": flatten(read_environment(directory)),
        "chain": ledger_data(directory, config),
    }


def _heading(config: Mapping[str, Any], run: RunResults) -> dict[str, str]:
    algorithm = config.get("federation", {}).get("algorithm", "federated learning")
    source = config.get("data", {}).get("source", "unnamed data")
    clients, rounds = len(run.clients.name), len(run.rounds.number)
    return {
        "title": str(config.get("name", "run")),
        "subtitle": f"A run of {algorithm}: {clients:,} clients, {rounds:,} rounds, data source {source}",
    }


def _summary(summary: Summary) -> dict[str, Any]:
    for measured in summary.test.values():
        METRICS.check_registered(measured)
    return {
        "models": [model for model in MODELS if model in summary.test],
        "headline": _headline(summary),
        "class_metrics": {metric.key: metric.headline for metric in METRICS.select(place=Place.PAGE, per_class=True)},
        "per_class": _per_class(summary.test),
        "groups": group_data(summary.fairness),
        "ledger": {"mode": summary.ledger_mode, **{name: summary.ledger.get(name) for name in _LEDGER}},
        "timing": summary.timing,
        "synthesis": summary.synthesis,
    }


def _headline(summary: Summary) -> list[dict[str, Any]]:
    """A row for each number: its name, whether a higher or lower value is better, and its value by model."""
    test = summary.test
    metrics = METRICS.select(place=Place.PAGE, per_class=False)
    rows = [
        {"name": one.headline, "better": "" if one.better == "neither" else f"{one.better} is better"}
        | {model: test[model].get(one.key) for model in test}
        for one in metrics
    ]
    worst = {model: (summary.fairness.get(model) or {}).get("worst_10_percent") for model in test}
    of_clients = {"name": "Accuracy of the worst 10 % of clients", "better": "higher is better", **worst}
    return [*rows[:2], of_clients, *rows[2:]]


def _per_class(test: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    if not test:
        return []
    tables = {model: measured["per_class"] for model, measured in test.items()}
    keys = [metric.key for metric in METRICS.select(place=Place.PAGE, per_class=True)]
    return [
        {"class": name, "samples": row["support"]}
        | {f"{model}_{key}": table[name].get(key) for model, table in tables.items() for key in keys}
        for name, row in next(iter(tables.values())).items()
    ]


def group_data(fairness: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Recall by class and group of people; None where groups were not compared.

    Args:
        fairness: the summary's section, by model.
    """
    found = {model: measured["groups"] for model, measured in fairness.items() if "groups" in measured}
    if not found:
        return None
    first = next(iter(found.values()))
    rows = [
        {"class": name, "group": group}
        | {count: measured["per_class"][name][count] for count in ("people", "samples")}
        | {f"{model}_recall": one["by_group"][group]["per_class"][name]["recall"] for model, one in found.items()}
        | {f"{model}_gap": one["equal_opportunity_gap"][name] for model, one in found.items()}
        for name in first["equal_opportunity_gap"]
        for group, measured in first["by_group"].items()
    ]
    return {"attribute": first["attribute"], "in_no_group": first["samples_in_no_group"], "rows": rows}


def _curves(run: RunResults) -> dict[str, np.ndarray]:
    names = ("number", "loss", "accuracy", "macro_f1", "gas", "cpu_ms")
    return {name: getattr(run.rounds, name) for name in names}


def _clients(clients: Clients, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row for each client."""
    missing = np.full(len(clients.name), np.nan)
    columns = clients.numbers | {f"{model}_accuracy": getattr(clients, f"{model}_accuracy") for model in MODELS}
    names = (*_CLIENT_NUMBERS, *(f"{model}_{metric}" for model in MODELS for metric in _CLIENT_METRICS))
    counts = {role: [clients.counts.get(role, {}).get(name, missing) for name in classes] for role in ROLES}
    return [
        {"client": client, "subject": clients.subject[index]}
        | {name: columns.get(name, missing)[index] for name in names}
        | {"counts": {role: [column[index] for column in of_classes] for role, of_classes in counts.items()}}
        for index, client in enumerate(clients.name)
    ]


def _reliability(run: RunResults) -> dict[str, dict[str, np.ndarray]]:
    """The reliability diagram of each model; nothing without test samples."""
    label = run.predictions.label
    tested = run.predictions.models if len(label) else {}
    return {model: reliability_points(probability, label)._asdict() for model, probability in tested.items()}


def _explained(found: Explanations | None) -> dict[str, Any] | None:
    """The first explained samples."""
    if found is None:
        return None
    shown = slice(EXAMPLES)
    return {
        "total": len(found.label),
        "classes": found.classes,
        "sample_rate": found.sample_rate,
        "client": found.client[shown],
        "label": found.label[shown],
        "predicted": found.predicted[shown],
        "probability": _rounded(found.probability[shown]),
        "x": _rounded(found.x[shown].transpose(0, 2, 1)),  # [E, L, T]
        "attribution": _rounded(_relative(found.attribution[shown]).transpose(0, 2, 1)),
    }


def _relative(attribution: np.ndarray) -> np.ndarray:
    """float32[E, T, L]: attributions divided by the strongest one of each sample."""
    strongest = np.abs(attribution).max(axis=(1, 2), keepdims=True, initial=0.0)
    return attribution / np.where(strongest > 0, strongest, 1.0)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.round(values.astype(np.float64), DIGITS)


def _request(record: RequestRecord, config: Mapping[str, Any]) -> dict[str, Any]:
    """A request for synthetic samples, with the scores of those gates that decide."""
    gates = config.get("synthesis", {}).get("gates", {})
    names = ("request", "client", "class", "amount", "state", "reason", "used", "refunded")
    return (
        {name: record.get(name) for name in names}
        | {"failed": ", ".join(record.get("failed", ())), "why": record.get("why", "")}
        | {f"score_{gate}": score for gate, score in record.get("scores", {}).items() if gate in gates}
    )


def _sections(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Section -> dotted key -> value; keys outside of all sections are under "general"."""
    general = {key: value for key, value in config.items() if not isinstance(value, dict)}
    return {"general": general} | {key: flatten(value) for key, value in config.items() if isinstance(value, dict)}
