"""Builders of sweeps and studies in the written formats, with numbers that are drawn from known laws."""

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

CLASSES = ("N", "S", "V")


def build_sweep(folder: Path, grid: dict[str, list[Any]], *, failed: int = 0, rounds: int = 6) -> Path:
    """A sweep over ``grid``; the last ``failed`` members failed."""
    folder.mkdir(parents=True)
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    rng = np.random.default_rng(len(points))
    rows = [_member(folder, number, point, rng, rounds) for number, point in enumerate(points)]
    for row in rows[len(rows) - failed :]:
        kept = ("member", *grid)
        row.update({name: "" for name in row if name not in kept} | {"status": "failed", "error": "diverged"})
    with (folder / "sweep.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def _member(folder: Path, number: int, point: dict[str, Any], rng: np.random.Generator, rounds: int) -> dict[str, Any]:
    name = f"member{number}"
    row: dict[str, Any] = {"member": name, **point, "status": "done", "error": ""}
    ease = sum(np.tanh(value) for key, value in point.items() if key != "seed" and isinstance(value, int | float))
    for model, gain in (("global", 0.0), ("personalised", 0.15)):
        score = 0.4 + 0.1 * ease + gain + 0.02 * rng.normal()
        row |= {f"test.{model}.{metric}": score for metric in ("accuracy", "macro_f1")}
        row |= {f"test.{model}.per_class.S.{metric}": 0.8 * score for metric in ("recall", "precision")}
        row |= {f"test.{model}.ece": 0.05, f"fairness.{model}.worst_10_percent": 0.7 * score}
    row |= {"ledger.cpu_ms_per_round": 12.0 + rng.random(), "ledger.gas_per_round": 175_536.0}
    row |= {"ledger.accepted": 90, "ledger.rejected": 10, "ledger.mode": "merkle"}
    (folder / name).mkdir()
    lines = []
    for n in range(1, rounds + 1):
        metrics = {"accuracy": 0.9, "macro_f1": 0.4 + 0.3 * (1 - np.exp(-n)) + 0.02 * rng.normal()}
        lines.append({"round": n, "loss": np.exp(-n / 3) + 0.02 * rng.random(), "ledger": {}, "metrics": metrics})
    (folder / name / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return row


ARMS = {
    "local": ("Local only", "personalised", 0.70),
    "fedavg": ("FedAvg", "global", 0.55),
    "fedavg-ft": ("FedAvg + FT", "personalised", 0.75),
    "fedprox": ("FedProx + FT", "personalised", 0.74),
    "perfedavg": ("PerFedAvg + FT", "personalised", 0.745),
    "proposed": ("BOFL & gated_quota", "personalised", 0.78),
}
GENERATORS = {"oversample": 0.76, "smote": 0.755, "pca-gaussian": 0.77, "timegan": 0.75, "diffusion": 0.76}


def build_study(folder: Path, *, beats: bool = True, rounds: bool = True) -> Path:
    """A study with rows for every figure and table."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    rows = [*_scarcity(rng), *_heterogeneity(rng), *_doses(rng), *_factors(rng)]
    head = {
        "name": "headline",
        "title": "The headline",
        "made_by": "python experiments/headline/run.py",
        "drawn": "people",
    }
    study = {"study": head | {"machine": "test", "seconds": 1.0}, "rows": rows}
    (folder / "results.json").write_text(json.dumps(study))
    if rounds:
        _write_rounds(folder / "rounds.csv", rng)
    if beats:
        _write_beats(folder / "fidelity.npz", rng)
    return folder


def _row(protocol: str, arm: str, mean: float, rng: np.random.Generator, **more: Any) -> dict[str, Any]:
    title, model, _ = ARMS.get(arm, (arm, "personalised", 0.0))
    names = {"macro_f1": 0.0, "accuracy": 0.2, "recall_S": -0.1, "precision_S": 0.05, "recall_at_spec95_S": 0.02}
    metrics = {}
    for name, shift in names.items():
        value = float(mean + shift + 0.005 * rng.normal())
        metrics[name] = {"mean": value, "sd": 0.01, "interval": [value - 0.06, value + 0.05]}
    metrics["ece"] = {"mean": 0.02, "sd": None, "interval": None}
    row = {"protocol": protocol, "arm": arm, "title": title, "model": model, "x": {}, "seeds": 10, "people": 43}
    return row | {"metrics": metrics} | more


def _scarcity(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for minutes, (arm, (_, _, level)) in itertools.product((0, 0.5, 1, 2, 5, 15), ARMS.items()):
        mean = level + 0.04 * np.log1p(minutes) if arm != "fedavg" else level
        difference = {"from": "fedavg-ft", "metric": "macro_f1", "mean": mean - 0.75, "interval": [-0.1, 0.1]}
        more = {"difference": difference | {"p": 0.01, "p_holm": 0.06}} if arm != "fedavg-ft" else {}
        rows.append(_row(f"P{minutes:g}", arm, mean, rng, x={"minutes": minutes}, **more))
    return rows


def _heterogeneity(rng: np.random.Generator) -> list[dict[str, Any]]:
    places = {0.05: 0.0, 0.1: 0.02, 0.3: 0.05, 1: 0.08, 10: 0.09, 1000: 0.09, "natural": 0.03}
    return [
        _row("dirichlet", arm, level + shift - 0.1, rng, x={"alpha": alpha})
        for arm, (_, _, level) in ARMS.items()
        for alpha, shift in places.items()
    ]


def _doses(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = [_row("dose", name, 0.74, rng, x={"dose": 0}, model=model) for name in ("none", "class weights")
            for model in ("global", "personalised")]  # fmt: skip
    for (generator, level), dose, model in itertools.product(
        GENERATORS.items(), (0, 0.02, 0.05, 0.1, 0.2, 0.5), ("global", "personalised")
    ):
        mean = 0.74 + (level - 0.74) * np.sqrt(dose) * 2 + (0.1 if model == "personalised" else 0)
        arm = f"{generator}-{dose}"
        rows.append(_row("dose", arm, mean, rng, x={"dose": dose}, generator=generator, model=model))
    return rows


def _factors(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for personalisation, synthesis in itertools.product((False, True), repeat=2):
        pair = _row("ablation", "x", 0.6 + 0.1 * personalisation + 0.03 * synthesis, rng)
        for ledger in (False, True):
            factors = {"ledger": ledger, "personalisation": personalisation, "synthesis": synthesis}
            rows.append(pair | {"arm": f"{ledger}-{personalisation}-{synthesis}", "factors": factors})
    return rows


def _write_rounds(path: Path, rng: np.random.Generator) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("protocol", "arm", "title", "round", "macro_f1", "low", "high"))
        for protocol, (arm, (title, _, level)) in itertools.product(("alpha 0.1", "alpha 1"), ARMS.items()):
            for n in range(0, 201, 10):
                mean = level * (1 - np.exp(-n / 40)) + 0.005 * rng.normal()
                writer.writerow((protocol, arm, title, n, mean, mean - 0.03, mean + 0.02))


def _write_beats(path: Path, rng: np.random.Generator) -> None:
    time = np.arange(180) / 360 - 0.25
    shapes = np.stack(
        [np.exp(-((time - shift) ** 2) / 2 / width**2) for shift, width in ((0, 0.01), (-0.02, 0.012), (0, 0.04))]
    )

    def beats(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
        label = rng.choice(3, count, p=(0.8, 0.1, 0.1)).astype(np.int32)
        scale = 1 + 0.2 * rng.normal(size=(count, 1))
        return (scale * shapes[label] + noise * rng.normal(size=(count, 180))).astype(np.float32), label

    real, real_label = beats(300, 0.02)
    arrays = {"real": real, "real_label": real_label, "sample_rate": np.float64(360), "classes": np.array(CLASSES)}
    for name, noise in (("pca-gaussian", 0.04), ("diffusion", 0.08)):
        arrays[f"made_{name}"], arrays[f"label_{name}"] = beats(200, noise)
    np.savez(path, **arrays)


def write_gains(folder: Path) -> None:
    """Gains of the arms of a study with doses, and what the gates measured of generators, into its ``results.json``.

    The arms of dose 0.1 come under three quotas, those of the other doses under one.
    """
    rng = np.random.default_rng(4)
    written = json.loads((folder / "results.json").read_text())
    doses = [row for row in written["rows"] if row["protocol"] == "dose"]
    kept = [row for row in written["rows"] if row["protocol"] != "dose"]
    for row in doses:
        dose = row["x"]["dose"]
        quotas = ("need-based", "uniform", "validation-gated") if row.get("generator") and dose == 0.1 else ("",)
        for quota in quotas:
            one = row | {"arm": row["arm"] + quota, "title": f"{row['title']} {quota}".strip(), "dose": dose}
            kept.append(one if row["arm"] == "none" else one | {"gains": _gains(rng)})
    written |= {"rows": kept, "generators": _judged(rng)}
    (folder / "results.json").write_text(json.dumps(written))


def _gains(rng: np.random.Generator) -> dict[str, Any]:
    means = {f"auprc_{name}": float(0.1 * rng.normal()) for name in ("S", "V", "F")}
    metrics = {name: {"mean": mean, "interval": [mean - 0.03, mean + 0.05]} for name, mean in means.items()}
    return {"from": "none", "metrics": metrics | {"recall_S": {"mean": 0.5, "interval": [0.4, 0.6]}}}


def _judged(rng: np.random.Generator) -> list[dict[str, Any]]:
    names = ("discriminative", "utility", "diversity", "distance", "neighbours", "membership")
    found = []
    for generator, label in itertools.product(GENERATORS, ("S", "V", "F")):
        scores: dict[str, Any] = {name: float(rng.uniform(0.3, 1.0)) for name in names} | {"membership_error": 0.05}
        if label == "F":
            scores |= {"utility": None, "membership": None, "membership_error": None}
        if generator == "smote":
            scores = dict.fromkeys(scores)
        head = {"protocol": "dose", "generator": generator, "class": label, "seeds": 10}
        found.append(head | {"scores": scores | {"copies": 0.0}})
    return found


CONFIG: dict[str, dict[str, Any]] = {
    "data": {"source": "mitbih"},
    "partition": {"scheme": "patient", "train_minutes": 1.0},
    "model": {"name": "cnn1d"},
    "federation": {"algorithm": "fedavg", "rounds": 50, "local_steps": 8, "batch_size": 32},
    "optimizer": {"client": "sgd", "lr": 0.12, "server": "sgd", "server_lr": 1.0},
    "personalise": {"method": "finetune", "steps": 30, "lr": 0.03},
    "synthesis": {"generator": "none"},
    "ledger": {"mode": "merkle", "quorum": 0.0, "authorities": 3},
    "adversary": {"channel": "none", "altered": 0.0, "uninvited": 0, "duplicates": 0},
}
SYNTHESIS = {
    "generator": "simulator",
    "training": "local",
    "quota": "need-based",
    "dose": 0.1,
    "class_quota": 10_000,
    "max_batch": 500,
    "approval": "automatic",
    "gates": {"margin": 0.5, "utility": 0.85, "copies": 0.0},
}


def write_config(folder: Path, **sections: dict[str, Any]) -> Path:
    """``config.toml``; what a section is given replaces it whole."""
    (folder / "config.toml").write_text(tomli_w.dumps({"name": "test", "seed": 0, **CONFIG, **sections}))
    return folder


def build_benchmarks(folder: Path) -> Path:
    """``peers.json`` of two protocols and three peers, one of which fails once, and searches on a GPU."""
    folder.mkdir(parents=True)
    small = {"clients": 64, "cohort": 64, "steps": 10, "batch": 32, "parameters": 36_901}
    large = {"clients": 1_000, "cohort": 50, "steps": 5, "batch": 10, "parameters": 1_626_442}
    protocols = {
        "small": {
            "flower": _peer("flower", small, 2_048.0, {"flwr": "1.42.0"}, rounds=5),
            "ours": _peer("ours", small, 204_800.0, {"jax": "0.10.2"}),
            "torch-vmap": _peer("torch-vmap", small, 40_960.0, {"torch": "2.13.0"}),
        },
        "large": {
            "flower": {"error": "no environment flower:\n make it & try again"},
            "ours": _peer("ours", large, 1_000.0, {"jax": "0.10.2"}),
            "torch-vmap": _peer("torch-vmap", large, 2_500.0, {"torch": "2.13.0"}),
        },
    }
    (folder / "peers.json").write_text(json.dumps({"cores": 2, "protocols": protocols}))
    gpu = folder / "gpu"
    (gpu / "before").mkdir(parents=True)
    (gpu / "engine.json").write_text(json.dumps({"machine": {"device": "Card 9000"}}))
    for peer, speeds in {"ours": (320_000.0, 640_000.0), "torch-vmap": (160_000.0, 80_000.0)}.items():
        tried = [{"setting": {"n": n}, "samples_per_s": speed} for n, speed in enumerate(speeds)]
        (gpu / f"{peer}_small.json").write_text(json.dumps([*tried, {"setting": {}, "error": "out of memory"}]))
        (gpu / "before" / f"{peer}_small.json").write_text(json.dumps([{"setting": {}, "samples_per_s": 1e9}]))
    return folder


def _peer(name: str, work: dict[str, int], speed: float, versions: dict[str, str], rounds: int = 10) -> dict[str, Any]:
    return {
        "peer": name,
        "work": work,
        "machine": {"cpu": "x86_64", "cores": 2, "device": "cpu"},
        "versions": {"python": "3.11.7"} | versions,
        "rounds": rounds,
        "samples_per_s": speed,
        "rounds_per_s": speed / (work["cohort"] * work["steps"] * work["batch"]),
        "start_up_s": 6.25,
        "memory_mib": 1_643,
    }


def write_explanations(folder: Path, count: int = 6) -> None:
    """``explanations.npz`` of beats whose R peak is all that matters."""
    rng = np.random.default_rng(1)
    time = np.arange(160) / 160 - 0.4
    peak = np.exp(-(time**2) / 2 / 0.015**2)
    x = np.stack([peak * (1 + 0.1 * rng.normal()) + 0.03 * rng.normal(size=160) for _ in range(count)])
    label = np.arange(count) % 4
    np.savez(
        folder / "explanations.npz",
        x=x[:, :, None].astype(np.float32),
        attribution=(peak * rng.choice((-1, 1), (count, 1)))[:, :, None].astype(np.float32),
        label=label.astype(np.int32),
        predicted=np.roll(label, 1).astype(np.int32),
        probability=np.full((count, 4), 0.25, np.float32),
        client=np.array([str(100 + n) for n in range(count)]),
        sample_rate=np.float64(160),
        classes=np.array(("N", "S", "V", "F")),
    )


def write_requests(folder: Path) -> None:
    """``synthesis.jsonl`` with every outcome: used, refused, failed, no gain, not decided."""
    outcomes = (
        ("S", 10, "approved", 10, []),
        ("S", 8, "approved", 0, ["distance", "copies"]),
        ("V", 6, "rejected", 0, []),
        ("V", 4, "approved", 0, ["validation"]),
        ("F", 3, "pending", 0, []),
        ("F", 20, "approved", 12, []),
    )
    names = ("class", "amount", "state", "used", "failed")
    lines = [
        {"request": number, "client": number, **dict(zip(names, outcome, strict=True))}
        for number, outcome in enumerate(outcomes, 1)
    ]
    (folder / "synthesis.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
