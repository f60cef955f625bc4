"""What the page of a run shows, from its files alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bofl_jax.figures.style import MODELS
from bofl_jax.pages.fields import number
from bofl_jax.pages.provenance import ledger_of
from bofl_jax.pages.reliability import reliability
from bofl_jax.results import Explanations, Run, read_run
from bofl_jax.results.files import RUN_MEND, csv_rows, read
from bofl_jax.results.requests import LINES, read_lines
from bofl_jax.results.writing import flat, read_json, read_toml

T = TypeVar("T")

EXAMPLES = 24
"""Beats at most; more would be a long page that nobody looks through."""

DIGITS = 4

_MEASURES = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "ece": "Calibration error (ECE)"}
_OF_CLASS = ("recall", "precision", "f1", "specificity")
_OF_CLIENT = ("n_train", "n_test", "n_synthetic", "label_divergence")


def describe(directory: Path) -> dict[str, Any]:
    """The data of a run's page; `bofl_jax.pages.base.report` says what is raised."""
    run = read_run(directory)
    config, summary = read_toml(directory / "config.toml"), read_json(directory / "summary.json")
    classes = list(run.predictions.classes)
    return {
        "kind": "run",
        **_checked(directory / "config.toml", lambda _: _settings(config, run)),
        **_checked(directory / "summary.json", lambda _: _measured(summary, run)),
        "classes": classes,
        "curves": _curves(run),
        "clients": _checked(directory / "clients.csv", lambda path: [_client(row, classes) for row in csv_rows(path)]),
        "reliability": _reliability(run),
        "beats": _beats(run.explanations),
        "requests": _checked(directory / LINES, lambda path: _requests(path.parent, config)),
        "environment": _checked(directory / "environment.json", lambda path: flat(read_json(path))),
        "chain": ledger_of(directory, config),
    }


def _checked(path: Path, parse: Callable[[Path], T]) -> T:
    """``parse(path)``, or one line that says that the file is damaged."""
    return read(path, parse, RUN_MEND)


def _settings(config: dict[str, Any], run: Run) -> dict[str, Any]:
    """Title, subtitle and configuration."""
    algorithm = config.get("federation", {}).get("algorithm", "federated learning")
    source = config.get("data", {}).get("source", "unnamed data")
    rounds, clients = len(run.rounds.number), len(run.clients.name)
    return {
        "title": str(config.get("name", "run")),
        "subtitle": f"A run of {algorithm}: {clients:,} clients, {rounds:,} rounds, data source {source}",
        "config": _sections(config),
    }


def _measured(summary: dict[str, Any], run: Run) -> dict[str, Any]:
    """What ``summary.json`` says."""
    return {
        "models": [model for model in MODELS if model in run.summary.test],
        "headline": _headline(summary, run),
        "per_class": _per_class(run),
        "groups": _groups(run),
        "ledger": {"mode": run.summary.ledger_mode, **_paid(summary)},
        "timing": summary.get("timing", {}),
        "synthesis": summary.get("synthesis"),
    }


def _headline(summary: dict[str, Any], run: Run) -> list[dict[str, Any]]:
    """A row a number: what it is, and its value by model."""
    test = run.summary.test
    rows = [{"name": title} | {m: test[m].get(key) for m in test} for key, title in _MEASURES.items()]
    spread = summary.get("fairness", {})
    worst = {model: (spread.get(model) or {}).get("worst_10_percent") for model in test}
    return [*rows[:2], {"name": "Accuracy of the worst 10 % of clients", **worst}, *rows[2:]]


def _paid(summary: dict[str, Any]) -> dict[str, Any]:
    names = ("rounds", "gas_per_round", "bytes_total", "cpu_ms_per_round", "accepted", "rejected", "head_hash")
    return {name: summary["ledger"].get(name) for name in names}


def _curves(run: Run) -> dict[str, np.ndarray]:
    names = ("number", "loss", "accuracy", "macro_f1", "gas", "cpu_ms")
    return {name: getattr(run.rounds, name) for name in names}


def _per_class(run: Run) -> list[dict[str, Any]]:
    test = run.summary.test
    return [
        {"class": name, "samples": next(iter(test.values()))["per_class"][name]["support"]}
        | {f"{model}_{of}": test[model]["per_class"][name].get(of) for model in test for of in _OF_CLASS}
        for name in (next(iter(test.values()))["per_class"] if test else ())
    ]


def _groups(run: Run) -> dict[str, Any] | None:
    """Recall by class and group of people; None where groups were not compared."""
    found = {model: spread["groups"] for model, spread in run.summary.fairness.items() if "groups" in spread}
    if not found:
        return None
    first = next(iter(found.values()))
    rows = [
        {"class": name, "group": group, **{of: measured["per_class"][name][of] for of in ("people", "samples")}}
        | {f"{model}_recall": of["by_group"][group]["per_class"][name]["recall"] for model, of in found.items()}
        | {f"{model}_gap": of["equal_opportunity_gap"][name] for model, of in found.items()}
        for name in first["equal_opportunity_gap"]
        for group, measured in first["by_group"].items()
    ]
    return {"attribute": first["attribute"], "in_no_group": first["samples_in_no_group"], "rows": rows}


def _client(row: dict[str, str], classes: list[str]) -> dict[str, Any]:
    measured = [f"{model}_{of}" for model in MODELS for of in ("accuracy", "macro_f1")]
    counts = {role: [number(row.get(f"{role}_{name}")) for name in classes] for role in ("train", "test", "synthetic")}
    numbers = {name: number(row.get(name)) for name in (*_OF_CLIENT, *measured)}
    return {"client": row["client"], "subject": row.get("subject")} | numbers | {"counts": counts}


def _reliability(run: Run) -> dict[str, dict[str, np.ndarray]]:
    label = run.predictions.label
    found = {model: getattr(run.predictions, f"{model}_probability") for model in MODELS}
    return {model: reliability(p, label) for model, p in found.items() if p is not None and len(label)}


def _beats(found: Explanations | None) -> dict[str, Any] | None:
    """The first examples, with four digits: nobody sees more in a drawing."""
    if found is None:
        return None
    kept = slice(EXAMPLES)
    return {
        "total": len(found.label),
        "classes": found.classes,
        "sample_rate": found.sample_rate,
        "client": found.client[kept],
        "label": found.label[kept],
        "predicted": found.predicted[kept],
        "probability": _rounded(found.probability[kept]),
        "x": _rounded(found.x[kept].transpose(0, 2, 1)),  # [E, L, T]
        "attribution": _rounded(_relative(found.attribution[kept]).transpose(0, 2, 1)),
    }


def _relative(attribution: np.ndarray) -> np.ndarray:
    """float32[E, T, L] in units of each beat's strongest attribution."""
    most = np.abs(attribution).max(axis=(1, 2), keepdims=True, initial=0.0)
    return attribution / np.where(most > 0, most, 1.0)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.round(values.astype(np.float64), DIGITS)


def _requests(directory: Path, config: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a request for synthetic samples; of the scores those that a gate judges."""
    gates = config.get("synthesis", {}).get("gates", {})
    names = ("request", "client", "class", "amount", "state", "reason", "used", "refunded")
    return [
        {name: line.get(name) for name in names}
        | {"failed": ", ".join(line.get("failed", ())), "why": line.get("why", "")}
        | {f"score_{gate}": value for gate, value in line.get("scores", {}).items() if gate in gates}
        for line in read_lines(directory)
    ]


def _sections(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Section -> dotted key -> value; what stands outside of all sections is under "general"."""
    general = {key: value for key, value in config.items() if not isinstance(value, dict)}
    return {"general": general} | {key: flat(value) for key, value in config.items() if isinstance(value, dict)}
