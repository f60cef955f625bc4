"""A new method in twenty lines, without a change to the package.

    python experiments/new_method.py --out runs/half-and-half

Each client keeps a model of its own and, every round, goes on from half way between it and the shared one.
"""

import argparse
from typing import Literal

import jax

import bofl_jax as bofl
from bofl_jax import algorithms


class HalfAndHalf(bofl.SharedOptions):
    """The method's section of the configuration, beside what every method has."""

    algorithm: Literal["half-and-half"]
    share: float = 0.5


def half_and_half(options: HalfAndHalf, given) -> algorithms.LocalAlgorithm:
    """What ONE client does: the engine runs all of them at once."""
    descend, gradient = algorithms.OptimizerLoop(given.optimizer), jax.value_and_grad(given.loss)

    def train(shared, own, data):
        start = jax.tree.map(lambda s, o: s + options.share * (o - s), shared, own)
        after, info = descend(gradient, start, data)
        return algorithms.model_delta(after, shared), after, info

    return algorithms.LocalAlgorithm(init=lambda _, shared: shared, train=train, personal_model=lambda _, own: own)


bofl.register(bofl.Method(HalfAndHalf, half_and_half))


def main() -> None:
    """Run it on the quickstart's patients, and show what it ends in."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", required=True, help="run directory")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    changed = {
        "federation.algorithm": "half-and-half",
        "federation.rounds": arguments.rounds,
        "personalise.method": "own",
    }
    run = bofl.run(bofl.load_config("quickstart", changed), out=arguments.out)
    for model, measured in run.summary["test"].items():
        print(f"{model:>12}: macro-F1 {measured['macro_f1']:.3f}, accuracy {measured['accuracy']:.3f}")


if __name__ == "__main__":
    main()
