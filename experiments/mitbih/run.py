"""Run every configuration of this folder with every seed, and write results.json and table.md.

    BOFL_DATA=../shared/data python -m experiments.mitbih.run --work runs/mitbih-experiment

Finished runs of the work folder are kept; interrupted ones are resumed.
"""

import argparse
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import bofl_jax as bofl
from bofl_jax import results
from bofl_jax.results.writing import write_json
from experiments.common.command import argument_parser, run_command
from experiments.common.files import training_name
from experiments.mitbih.measure import RESAMPLES, measure, most_influential, person_interval, read_predictions
from experiments.mitbih.plan import HERE, ROWS, TRAININGS, WITHOUT_LEDGER, config_hashes
from experiments.mitbih.table import write_table


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out the runs that are not finished, then measure all of them."""
    options = parse(arguments)
    trainings = options.only or list(TRAININGS)
    for seed in options.seeds:
        for training in trainings:
            train(options.work, training, seed, options.short)
    write_json(options.json, collect(options.work, trainings, options.seeds))
    write_table(options.json)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--json", type=Path, default=HERE / "results.json", help="table.md is written beside it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(TRAININGS), metavar="TRAINING", help=", ".join(TRAININGS))
    parser.add_argument("--short", action="store_true", help="two rounds and five steps of fine-tuning, to try it out")
    return parser.parse_args(arguments)


def run_directory(work: Path, training: str, seed: int) -> Path:
    """The run directory of one training with one seed.

    Args:
        work: folder of the run directories.
        training: name of the training.
        seed: root seed.
    """
    return work / training_name([training], seed)


def train(work: Path, training: str, seed: int, short: bool) -> None:
    """Run one training, unless it is finished.

    Args:
        work: folder of the run directories.
        training: name of the training.
        seed: root seed.
        short: whether to run two rounds and five steps of fine-tuning only.
    """
    file, overrides = TRAININGS[training]
    config = bofl.load_config(HERE / file, {"seed": seed, **overrides})
    if short:
        config = bofl.load_config(HERE / file, {"seed": seed, **overrides, **_shortened(config)})
    out = run_directory(work, training, seed)
    if results.is_complete(out):
        _require_same_config(config, out)
        return
    print(f"{training}, seed {seed}", flush=True)
    bofl.run(config, out=out, resume=out.exists())


def _shortened(config: bofl.Config) -> dict[str, int]:
    fine_tunes = config.personalise.method == "finetune"
    return {"federation.rounds": 2, **({"personalise.steps": 5} if fine_tunes else {})}


def _require_same_config(config: bofl.Config, out: Path) -> None:
    """Check the configuration of a finished run; its engine section may be of another machine."""
    stored = results.read_config(out).tables
    wanted = tomllib.loads(config.to_toml())
    if {**stored, "engine": None} != {**wanted, "engine": None}:
        raise bofl.BoflError(f"{out} was made with another configuration: name another --work, or remove it")


def collect(work: Path, trainings: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Measure all finished runs.

    Args:
        work: folder of the run directories.
        trainings: names of the trainings.
        seeds: their seeds.
    """
    reference = tomllib.loads((HERE / "reference.toml").read_text())
    environment = results.read_environment(run_directory(work, trainings[0], seeds[0]))
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
    folder = str(Path(bofl.__file__).parent)
    command = ["git", "-C", folder, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    described = subprocess.run(command, capture_output=True, text=True, check=False)
    return described.stdout.strip() or None


def describe(work: Path, training: str, seed: int) -> dict[str, Any]:
    """Time and ledger of a run, the outcome of its audit, and whether its results are the same without a ledger.

    Args:
        work: folder of the run directories.
        training: name of the training.
        seed: root seed.
    """
    out = run_directory(work, training, seed)
    summary, engine = results.read_summary_record(out), results.read_config(out).section("engine")
    return {
        "config_sha256": summary["config_sha256"],
        "engine": engine,
        "timing": summary["timing"],
        "ledger": summary["ledger"],
        "audit": audit_outcome(out) if summary["ledger"]["mode"] != "off" else None,
        "same_without_ledger": same_without_ledger(work, training, seed),
    }


def audit_outcome(out: Path) -> dict[str, Any]:
    """Whether an audit of a run holds, and what it checked."""
    try:
        audited = bofl.audit(out)
    except bofl.VerificationError as error:
        return {"holds": False, "reason": str(error)}
    return {
        "holds": True,
        "blocks": audited.blocks,
        "rounds": len(audited.rounds),
        "clients": audited.clients,
        "inclusion_proofs": sum(r.count for r in audited.rounds),
    }


def same_without_ledger(work: Path, training: str, seed: int) -> bool | None:
    """Whether a training ends in the same model without a ledger, to the bit; None if it was not run without one.

    Args:
        work: folder of the run directories.
        training: name of the training.
        seed: root seed.
    """
    if training not in WITHOUT_LEDGER:
        return None
    without = run_directory(work, WITHOUT_LEDGER[training], seed)
    if not without.exists():
        return None
    return _training_record(run_directory(work, training, seed)) == _training_record(without)


def _training_record(out: Path) -> list[Any]:
    """The test probabilities of the global model, if it is tested, and the loss of every round."""
    probability = results.read_predictions(out).global_probability
    losses = [record["loss"] for record in results.read_round_records(out)]
    return [b"" if probability is None else probability.tobytes(), *losses]


def summarise(work: Path, key: str, seeds: Sequence[int], reference: dict[str, Any]) -> dict[str, Any]:
    """One row of the table: every seed, mean, standard deviation, interval, reference and gap.

    Args:
        work: folder of the run directories.
        key: key of the row.
        seeds: seeds of its training.
        reference: the reference's numbers of this row.
    """
    row = ROWS[key]
    predictions = [read_predictions(run_directory(work, row.training, seed), row.model, row.without) for seed in seeds]
    measured = [measure(one) for one in predictions]
    mean = _over_seeds(np.mean, measured)
    return {
        **row._asdict(),
        "file": TRAININGS[row.training].file,
        "overrides": TRAININGS[row.training].overrides,
        "seeds": {str(seed): values for seed, values in zip(seeds, measured, strict=True)},
        "mean": mean,
        "sd": _over_seeds(lambda values: np.std(values, ddof=1) if len(values) > 1 else 0.0, measured),
        "interval": {"macro_f1": person_interval(predictions), "resamples": RESAMPLES},
        "most_influential": most_influential(predictions),
        "reference": reference,
        "gap": _gap(mean, reference),
    }


def _over_seeds(statistic: Callable[[list[float]], Any], measured: list[dict[str, Any]]) -> dict[str, Any]:
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
    run_command(main)
