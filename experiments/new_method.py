"""A new algorithm in twenty lines, without a change to the package.

    python experiments/new_method.py --out runs/half-and-half

Each client keeps a personal model. Every round it trains from the point half way between its personal model and the
shared one.
"""

import argparse
from typing import Literal

import jax

import bofl_jax as bofl
from bofl_jax import algorithms


class HalfAndHalfOptions(bofl.FederatedOptions):
    """The section ``[federation]`` of this algorithm: an option of its own, beside those of every algorithm."""

    algorithm: Literal["half-and-half"]
    share: float = 0.5


def half_and_half(options: HalfAndHalfOptions, context: algorithms.BuildContext) -> algorithms.LocalAlgorithm:
    """Build what ONE client does in a round; the engine runs all clients at once.

    Args:
        options: the options of the algorithm.
        context: loss, optimiser, network and sizes.
    """
    loop, value_and_grad = algorithms.OptimizerLoop(context.optimizer), jax.value_and_grad(context.loss)

    def train(shared, personal, data):
        start = jax.tree.map(lambda s, p: s + options.share * (p - s), shared, personal)
        params, info = loop(value_and_grad, start, data)
        return algorithms.model_delta(params, shared), params, info

    return algorithms.LocalAlgorithm(
        init=lambda _, shared: shared, train=train, personal_model=lambda _, personal: personal
    )


bofl.register(bofl.Algorithm(HalfAndHalfOptions, half_and_half))


def main() -> None:
    """Run the algorithm on the patients of the quickstart, and print the scores of its models."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", required=True, help="run directory")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    overrides = {
        "federation.algorithm": "half-and-half",
        "federation.rounds": arguments.rounds,
        "personalise.method": "own",
    }
    run = bofl.run(bofl.load_config("quickstart", overrides), out=arguments.out)
    for model, measured in run.summary["test"].items():
        print(f"{model:>12}: macro-F1 {measured['macro_f1']:.3f}, accuracy {measured['accuracy']:.3f}")


if __name__ == "__main__":
    main()
