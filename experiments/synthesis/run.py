"""Run every arm of every protocol and seed, each with a ledger of its own.

    BOFL_DATA=../shared/data python -m experiments.synthesis.run --work runs/synthesis

Complete runs of the work folder are kept, so that an interrupted command continues.
"""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import bofl_jax as bofl
from bofl_jax.parallel import enable_compilation_cache
from experiments.common.command import argument_parser, run_command
from experiments.common.files import training_name
from experiments.common.protocols import TEN_SEEDS
from experiments.common.training import complete_run
from experiments.synthesis.plan import ARMS, DEFAULT_ARMS, HERE, NEURAL_ARMS, PROTOCOLS, arms


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out the runs that are not complete."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the run directories")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(TEN_SEEDS))
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--arms", nargs="+", choices=list(ARMS), metavar="ARM", help="[default: those of plan.py]")
    which.add_argument("--neural", action="store_true", help="neural generators, trained briefly")
    which.add_argument("--full", action="store_true", help="every arm, neural generators trained in full; for a GPU")
    parser.add_argument("--rounds", type=int, help="fewer rounds, to try it out")
    options = parser.parse_args(arguments)
    enable_compilation_cache()
    plan = arms(options.full)
    selected = NEURAL_ARMS if options.neural else list(plan) if options.full else options.arms or DEFAULT_ARMS
    for seed, protocol, arm in itertools.product(options.seeds, options.protocols, selected):
        directory = options.work / training_name((protocol, arm), seed)
        began = time.perf_counter()
        overrides = {"seed": seed, **PROTOCOLS[protocol], **plan[arm].overrides}
        if options.rounds:
            overrides["federation.rounds"] = options.rounds
        config = bofl.load_config(HERE / "base.toml", overrides)
        run = complete_run(config, directory, options.work / "generators")
        if run:
            scores = {name: measured and measured["macro_f1"] for name, measured in run.summary["test"].items()}
            print(f"{directory.name}: {time.perf_counter() - began:.1f} s, macro-F1 {scores}", flush=True)


if __name__ == "__main__":
    run_command(main)
