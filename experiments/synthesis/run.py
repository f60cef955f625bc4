"""Run every arm of every protocol and seed, each as a governed run with a chain of its own.

    BOFL_DATA=../shared/data python experiments/synthesis/run.py --work runs/synthesis

Complete runs in the work folder are kept, so that the command goes on where it was cut off.
"""

import argparse
import itertools
import shutil
import time
from pathlib import Path

from plan import ARMS, CHOSEN, HERE, NEURAL, PROTOCOLS, arms

import bofl_jax as bofl
from bofl_jax.core.errors import in_one_line
from bofl_jax.parallel import devices
from bofl_jax.sweep.run import GENERATORS


def main() -> None:
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--arms", nargs="+", choices=list(ARMS), metavar="ARM", help="[default: those of plan.py]")
    which.add_argument("--neural", action="store_true", help="neural generators, trained briefly")
    which.add_argument("--full", action="store_true", help="every arm, neural generators trained in full; for a GPU")
    parser.add_argument("--rounds", type=int, help="fewer rounds, to try it out")
    arguments = parser.parse_args()
    devices.enable_compilation_cache()
    known = arms(arguments.full)
    wanted = NEURAL if arguments.neural else list(known) if arguments.full else arguments.arms
    pairs = [(protocol, arm) for protocol in arguments.protocols for arm in wanted or CHOSEN]
    for seed, (protocol, arm) in itertools.product(arguments.seeds, pairs):
        directory = arguments.work / f"{protocol}-{arm}-seed{seed}"
        if (directory / "summary.json").exists():
            continue
        shutil.rmtree(directory, ignore_errors=True)  # of a run that was cut off
        began = time.perf_counter()
        overrides = {"seed": seed, **PROTOCOLS[protocol], **known[arm].overrides}
        if arguments.rounds:
            overrides["federation.rounds"] = arguments.rounds
        config = bofl.load_config(HERE / "base.toml", overrides)
        run = bofl.run(config, directory, generators=arguments.work / GENERATORS)
        shutil.rmtree(directory / "checkpoints")
        scores = {name: measured and measured["macro_f1"] for name, measured in run.summary["test"].items()}
        print(f"{directory.name}: {time.perf_counter() - began:.1f} s, macro-F1 {scores}", flush=True)


if __name__ == "__main__":
    with in_one_line():
        main()
