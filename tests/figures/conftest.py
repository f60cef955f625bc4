"""A builder of run directories in the written format, with numbers like those of the 44-client MIT-BIH protocol."""

import csv
import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.metrics import client_metrics, compute_metrics, fairness, to_summary
from bofl_jax.results import read_run

CLASSES = ("N", "S", "V", "F")


def build_run(
    folder: Path,
    *,
    clients: int = 44,
    rounds: int = 50,
    models: tuple[str, ...] = ("global", "personalised"),
    mode: str = "merkle",
    evaluate_every: int = 5,
    classes: tuple[str, ...] = CLASSES,
) -> Path:
    """Write a finished run. Rare classes are hard for the global model, easier after personalisation."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(clients)
    client = np.repeat(np.arange(clients), rng.integers(60, 180, clients)).astype(np.int32)
    share = np.array([0.89, 0.03, 0.07, 0.01, 0.0])[: len(classes)]
    label = rng.choice(len(classes), len(client), p=share / share.sum()).astype(np.int32)
    hardness = rng.gamma(2.0, 0.5, clients)[client, None]
    probability = {
        model: softmax(
            gain * np.eye(len(classes))[label]
            + np.log(share + 0.02)
            + hardness * spread * rng.normal(size=(len(client), len(classes)))
        )
        for model, gain, spread in (("global", 3.0, 1.0), ("personalised", 5.0, 0.8))
        if model in models
    }
    _write_predictions(folder, client, label, classes, probability)
    measured = {
        model: to_summary(compute_metrics(jnp.asarray(p), jnp.asarray(label), jnp.ones(len(label), bool)), classes)
        for model, p in probability.items()
    }
    _write_rounds(
        folder, rng, rounds, measured.get("global"), mode=mode, evaluate_every=evaluate_every, clients=clients
    )
    _write_clients(folder, client, label, classes, probability)
    test = {model: measured.get(model) for model in ("global", "personalised")}
    ledger = {"mode": mode, "rounds": rounds, "gas_total": 0, "head_hash": None}
    spread = {model: _spread(client, label, p) for model, p in probability.items()}
    summary = {"test": test, "fairness": spread, "ledger": ledger, "timing": {}, "config_sha256": "0" * 64}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _spread(client, label, probability):
    accuracy = client_metrics(*map(jnp.asarray, (probability, label, client)), int(client.max()) + 1).accuracy
    return fairness(accuracy, jnp.isfinite(accuracy)).as_dict()


def _write_predictions(folder, client, label, classes, probability):
    names = np.array([f"{100 + index}" for index in range(client.max() + 1)])
    np.savez(
        folder / "predictions.npz",
        label=label,
        client=client,
        subject=client,
        time=np.random.default_rng(1).uniform(305, 1805, len(label)),
        classes=np.array(classes),
        client_names=names,
        subject_names=names,
        person_names=names,
        **{f"{model}_probability": p for model, p in probability.items()},
    )


def _write_rounds(folder, rng, rounds, final, *, mode, evaluate_every, clients):
    lines = []
    for number in range(1, rounds + 1):
        progress = 1 - np.exp(-number / (0.25 * rounds))
        costs = {"gas": 0, "bytes": 0, "cpu_ms": 0.0, "accepted": clients, "rejected": 0}
        if mode != "off":
            costs |= {"gas": 214_000 + 24 * number + 12 * int(rng.integers(0, 200)), "bytes": 1_400}
            costs["digest_ms"] = float(2.0 + rng.random())
            costs["cpu_ms"] = float(6.2 + rng.gamma(2, 0.6) + 9 * (number == 1))
        line = {"round": number, "loss": float(1.4 * np.exp(-4 * number / rounds) + 0.12 + 0.02 * rng.random())}
        line |= {"examples": 32 * 8 * clients, "clients": clients, "seconds": 0.2, "ledger": costs}
        if evaluate_every and final and (number % evaluate_every == 0 or number == rounds):
            noise = 1 - 0.03 * rng.random()
            line["metrics"] = final | {key: final[key] * progress * noise for key in ("accuracy", "macro_f1")}
        lines.append(json.dumps(line) + "\n")
    (folder / "rounds.jsonl").write_text("".join(lines))


def _write_clients(folder, client, label, classes, probability):
    clients = int(client.max()) + 1
    blank = ["" for _ in range(clients)]
    columns = {
        model: [
            [repr(float(value)) for value in column]
            for column in client_metrics(jnp.asarray(p), jnp.asarray(label), jnp.asarray(client), clients)[:2]
        ]
        for model, p in probability.items()
    }
    header = ["client", "subject", "n_train", "n_test"]
    header += [f"{role}_{name}" for role in ("train", "test") for name in classes] + ["label_divergence"]
    header += [f"{model}_{name}" for model in ("global", "personalised") for name in ("accuracy", "macro_f1")]
    with (folder / "clients.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for index in range(clients):
            counts = np.bincount(label[client == index], minlength=len(classes)).tolist()
            scores = [
                column[index] for model in ("global", "personalised") for column in columns.get(model, [blank] * 2)
            ]
            writer.writerow([100 + index, 100 + index, 300, sum(counts), *counts, *counts, 0.1, *scores])


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """One finished run of 44 clients and 50 rounds; do not change its files."""
    return build_run(tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def run(finished_run):
    """What is read of it."""
    return read_run(finished_run)


@pytest.fixture
def copy(finished_run, tmp_path):
    """A copy of it whose files may be changed."""
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture(scope="session")
def make_run():
    return build_run
