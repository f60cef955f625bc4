"""Run every configuration of this folder with every seed, and write results.json and table.md.

    BOFL_DATA=../shared/data python experiments/mitbih/run.py --work runs/mitbih-experiment

Finished runs in the work folder are kept, interrupted ones go on.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from measure import RESAMPLES, measure, most_influential, person_interval, read
from plan import HERE, ROWS, TRAININGS, UNLEDGERED_TWIN, config_hashes
from table import render

import bofl_jax as bofl
from bofl_jax.core.errors import in_one_line


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    trainings = options.only or list(TRAININGS)
    for seed in options.seeds:
        for training in trainings:
            train(options.work, training, seed, options.short)
    results = collect(options.work, trainings, options.seeds)
    options.json.write_text(json.dumps(results, indent=1) + "\n")
    options.json.with_name(options.json.stem.replace("results", "table") + ".md").write_text(render(results))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="table.md goes beside it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(TRAININGS), metavar="TRAINING", help=", ".join(TRAININGS))
    parser.add_argument("--short", action="store_true", help="two rounds and five steps of fine-tuning, to try it out")
    return parser.parse_args(arguments)


def directory(work: Path, training: str, seed: int) -> Path:
    """The run directory of one training and seed."""
    return work / f"{training}-seed{seed}"


def train(work: Path, training: str, seed: int, short: bool) -> None:
    """Run one training, unless it is finished."""
    file, overrides = TRAININGS[training]
    config = bofl.load_config(HERE / file, {"seed": seed, **overrides})
    if short:
        config = bofl.load_config(HERE / file, {"seed": seed, **overrides, **_shortened(config)})
    out = directory(work, training, seed)
    if (out / "summary.json").exists():
        _insist_on_same(config, out)
        return
    print(f"{training}, seed {seed}", flush=True)
    bofl.run(config, out=out, resume=out.exists())


def _shortened(config: bofl.Config) -> dict[str, int]:
    tuned = config.personalise.method == "finetune"
    return {"federation.rounds": 2, **({"personalise.steps": 5} if tuned else {})}


def _insist_on_same(config: bofl.Config, out: Path) -> None:
    """The engine's settings may be of another machine; all else must be what this folder says."""
    with (out / "config.toml").open("rb") as file:
        stored = tomllib.load(file)
    wanted = tomllib.loads(config.to_toml())
    if {**stored, "engine": None} != {**wanted, "engine": None}:
        sys.exit(f"{out} was made with another configuration: name another --work, or remove it")


def collect(work: Path, trainings: list[str], seeds: list[int]) -> dict[str, Any]:
    """Measure all finished runs."""
    reference = tomllib.loads((HERE / "reference.toml").read_text())
    environment = json.loads((directory(work, trainings[0], seeds[0]) / "environment.json").read_text())
    return {
        "configs": config_hashes(),
        "commit": commit(),
        "environment": {name: value for name, value in environment.items() if name != "platform"},
        "seeds": seeds,
        "trainings": {
            training: {str(seed): describe(work, training, seed) for seed in seeds} for training in trainings
        },
        "rows": {
            key: summarise(work, key, seeds, reference.get(key, {}))
            for key, row in ROWS.items()
            if row.training in trainings
        },
    }


def commit() -> str | None:
    """The commit of the package that ran, marked if it was altered; None outside a clone."""
    command = ["git", "-C", Path(bofl.__file__).parent, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stdout.strip() or None


def describe(work: Path, training: str, seed: int) -> dict[str, Any]:
    """What a run cost, and what its ledger is worth."""
    out = directory(work, training, seed)
    summary = json.loads((out / "summary.json").read_text())
    with (out / "config.toml").open("rb") as file:
        engine = tomllib.load(file)["engine"]
    return {
        "config_sha256": summary["config_sha256"],
        "engine": engine,
        "timing": summary["timing"],
        "ledger": summary["ledger"],
        "audit": audited(out) if summary["ledger"]["mode"] != "off" else None,
        "same_without_ledger": same_without_ledger(work, training, seed),
    }


def audited(out: Path) -> dict[str, Any]:
    """The outcome of an audit."""
    try:
        found = bofl.audit(out)
    except bofl.VerificationError as error:
        return {"holds": False, "reason": str(error)}
    return {
        "holds": True,
        "blocks": found.blocks,
        "rounds": len(found.rounds),
        "clients": found.clients,
        "inclusion_proofs": sum(r.count for r in found.rounds),
    }


def same_without_ledger(work: Path, training: str, seed: int) -> bool | None:
    """Whether a training and its twin without a ledger end in the same model, to the bit; None without a twin."""
    twin = directory(work, UNLEDGERED_TWIN.get(training, "-"), seed)
    if not twin.exists():
        return None
    return _training_record(directory(work, training, seed)) == _training_record(twin)


def _training_record(out: Path) -> list[Any]:
    """Every round's loss, and the shared model's test probabilities at the end where it is tested."""
    rounds = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    with np.load(out / "predictions.npz") as arrays:
        tested = arrays["global_probability"].tobytes() if "global_probability" in arrays else b""
    return [tested, *(record["loss"] for record in rounds)]


def summarise(work: Path, key: str, seeds: list[int], reference: dict[str, Any]) -> dict[str, Any]:
    """One row of the table: every seed, mean, standard deviation, interval, reference and gap."""
    row = ROWS[key]
    tested = [read(directory(work, row.training, seed), row.model, row.without) for seed in seeds]
    measured = [measure(one) for one in tested]
    mean = _over_seeds(np.mean, measured)
    return {
        **row._asdict(),
        "file": TRAININGS[row.training].file,
        "overrides": TRAININGS[row.training].overrides,
        "seeds": {str(seed): values for seed, values in zip(seeds, measured, strict=True)},
        "mean": mean,
        "sd": _over_seeds(lambda values: np.std(values, ddof=1) if len(values) > 1 else 0.0, measured),
        "interval": {"macro_f1": person_interval(tested), "resamples": RESAMPLES},
        "most_influential": most_influential(tested),
        "reference": reference,
        "gap": _gap(mean, reference),
    }


def _over_seeds(statistic: Any, measured: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in measured[0].items():
        if name == "records":
            continue
        values = [one[name] for one in measured]
        if isinstance(value, dict):
            result[name] = _over_seeds(statistic, values)
        else:
            result[name] = None if value is None else float(statistic(values))
    return result


def _gap(ours: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _gap(ours[name], value) if isinstance(value, dict) else ours[name] - value
        for name, value in reference.items()
    }


if __name__ == "__main__":
    with in_one_line():
        main()
