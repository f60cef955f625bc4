"""Train every protocol and arm of a study with every seed, test the models, and keep the counts of each training.

    BOFL_DATA=../shared/data python -m experiments.main.run --study methods --work runs/main

Finished trainings of the work folder are kept, whichever study they were made for: an interrupted command continues,
and studies with the same work folder share trainings. Governed runs lie in its folder ``runs``.
"""

import itertools
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import jax

import bofl_jax as bofl
from bofl_jax import Samples
from bofl_jax.parallel import ExecutionPlan
from bofl_jax.results.writing import write_arrays
from experiments.common.command import argument_parser, prepare, run_command
from experiments.common.files import WorkFolder, training_name
from experiments.common.protocols import TEN_SEEDS
from experiments.main.arms import ARMS, PROTOCOLS
from experiments.main.counts import count_training
from experiments.main.plan import HERE, STUDIES
from experiments.main.training import Predictions, build_ungoverned, configure, run_governed, train_ungoverned

Training = tuple[str, str, int]
"""Protocol, arm and seed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out the trainings that are not finished."""
    parser = argument_parser(__doc__)
    parser.add_argument("--study", choices=list(STUDIES), required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of the finished trainings")
    parser.add_argument("--seeds", type=int, nargs="+", help="[default: 0, 1, ... as many as the study has]")
    parser.add_argument("--full", action="store_true", help="ten seeds and more rows, for a GPU")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--rounds", type=int, help="fewer rounds, to try the study out")
    options = parser.parse_args(arguments)
    folder, study = WorkFolder(options.work), STUDIES[options.study]
    plan, samples = prepare(bofl.load_config(HERE / "base.toml"), options.work)
    seeds = options.seeds or (TEN_SEEDS if options.full else range(study.seeds))
    for seed, (protocol, arm) in itertools.product(seeds, study.trainings(options.full)):
        path = folder.file((protocol, arm), seed)
        if path.exists() or protocol not in options.protocols or arm not in options.arms:
            continue
        began = time.perf_counter()
        predictions = train(options.work, (protocol, arm, seed), plan, samples, options.rounds)
        seconds = time.perf_counter() - began
        write_arrays(path, count_training(predictions, seconds, machine()))
        print(f"{path.stem}: {seconds:.1f} s", flush=True)


def train(work: Path, training: Training, plan: ExecutionPlan, samples: Samples, rounds: int | None) -> Predictions:
    """Carry out one training and its test, after the governed run whose batches it needs.

    Args:
        work: the work folder.
        training: protocol, arm and seed.
        plan: how clients run.
        samples: the pool.
        rounds: number of rounds; that of the protocol with None.
    """
    protocol, arm, seed = training
    config = configure(protocol, arm, seed, rounds)
    if ARMS[arm].governed:
        return run_governed(config, _run_directory(work, training), samples)
    batches = None
    if ARMS[arm].batches_of:
        source = (protocol, ARMS[arm].batches_of, seed)
        batches = _run_directory(work, source)
        run_governed(configure(*source, rounds), batches, samples)
    problem = build_ungoverned(config, PROTOCOLS[protocol], plan, samples, batches)
    return train_ungoverned(problem, PROTOCOLS[protocol])


def _run_directory(work: Path, training: Training) -> Path:
    *parts, seed = training
    return work / "runs" / training_name(parts, seed)


def machine() -> str:
    """The device and the machine."""
    return f"{jax.devices()[0].device_kind}, {platform.machine()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    run_command(main)
