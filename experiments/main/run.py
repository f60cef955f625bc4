"""Train every protocol and arm of a study with every seed, test, and keep small pieces.

    BOFL_DATA=../shared/data python experiments/main/run.py --study methods --work runs/main

Pieces that are there are kept, whichever study they were made for: the command goes on where it was cut off, and
studies that share the work folder share trainings. Governed runs lie in its folder ``runs``.
"""

import argparse
import itertools
import os
import platform
import time
from pathlib import Path

import jax
from arms import ARMS, PROTOCOLS
from pieces import Folder, piece_of, write
from plan import FULL_SEEDS, HERE, STUDIES
from training import Tested, configure, governed, set_up, ungoverned

import bofl_jax as bofl
from bofl_jax import data
from bofl_jax.core.errors import in_one_line
from bofl_jax.core.types import Samples
from bofl_jax.parallel import devices
from bofl_jax.parallel.clients import ExecutionPlan, resolve


def main(arguments: list[str] | None = None) -> None:
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", choices=list(STUDIES), required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of the finished pieces")
    parser.add_argument("--seeds", type=int, nargs="+", help="[default: 0, 1, ... as many as the study has]")
    parser.add_argument("--full", action="store_true", help="ten seeds and more rows, for a GPU")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--rounds", type=int, help="fewer rounds, to try it out")
    options = parser.parse_args(arguments)
    folder, study = Folder(options.work), STUDIES[options.study]
    options.work.mkdir(parents=True, exist_ok=True)
    base = bofl.load_config(HERE / "base.toml")
    devices.configure_devices(base.engine)
    jax.config.update("jax_compilation_cache_dir", str(options.work.absolute() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    plan, samples = resolve(base.engine), data.load(base.data, 0)
    seeds = options.seeds or range(FULL_SEEDS if options.full else study.seeds)
    for seed, (protocol, arm) in itertools.product(seeds, study.pieces(options.full)):
        path = folder.path(protocol, arm, seed)
        if path.exists() or protocol not in options.protocols or arm not in options.arms:
            continue
        began = time.perf_counter()
        tested = test(options.work, (protocol, arm, seed), plan, samples, options.rounds)
        seconds = time.perf_counter() - began
        write(path, piece_of(tested, seconds, machine()))
        print(f"{path.stem}: {seconds:.1f} s", flush=True)


def test(work: Path, which: tuple[str, str, int], plan: ExecutionPlan, samples: Samples, rounds: int | None) -> Tested:
    """One protocol, arm and seed; a governed run that it needs is done first."""
    protocol, arm, seed = which
    config = configure(protocol, arm, seed, rounds)
    if ARMS[arm].governed:
        return governed(config, _directory(work, which), samples)
    batches = None
    if ARMS[arm].batches_of:
        source = (protocol, ARMS[arm].batches_of, seed)
        batches = _directory(work, source)
        governed(configure(*source, rounds), batches, samples)
    return ungoverned(set_up(config, PROTOCOLS[protocol], plan, samples, batches), PROTOCOLS[protocol])


def _directory(work: Path, which: tuple[str, str, int]) -> Path:
    """Where a governed run lies."""
    protocol, arm, seed = which
    return work / "runs" / f"{protocol}-{arm}-seed{seed}"


def machine() -> str:
    """The device and the machine around it."""
    return f"{jax.devices()[0].device_kind}, {platform.machine()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    with in_one_line():
        main()
