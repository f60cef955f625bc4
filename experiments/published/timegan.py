"""TimeGAN on Sines and Stocks: do synthetic windows look real to a GRU, and does it learn from them to predict?

    python -m experiments.published.timegan --data stocks --json experiments/published/results/timegan_stocks.json

Yoon, Jarrett and van der Schaar, Time-series generative adversarial networks, NeurIPS 2019, table 2 and the authors'
code: windows of 24 steps; Sines, 10 000 windows of five sines of random frequency and phase; Stocks, Google's daily
prices and volume, each column scaled to [0, 1], a window at every day, the days in the order of the authors' code
(which reverses the file, although it already begins with the oldest day). Generators see each channel scaled to [0, 1]
once more, as in the code. As many windows are sampled as there are real ones; both scores (see `timegan_scores`) are
means of ten repeats. Published figures are those of Yuan and Qiao, Diffusion-TS, ICLR 2024. `--generator real` scores
the real windows themselves: no generator can be expected to do better.

Seeds train side by side, one on each of two cores.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.synthesis import (
    ClientSamples,
    DiffusionOptions,
    Generator,
    SampleShape,
    TimeganOptions,
    diffusion,
    timegan,
)
from experiments.published.command import data_folder, emit_result, result_parser, run_on_two_devices
from experiments.published.pooled_training import fit_pooled
from experiments.published.timegan_scores import REPEATS, repeat_scores

LENGTH = 24
ITERATIONS = 10_000
"""Minibatches in each stage of a generator by default."""
ROUND_STEPS = 100
"""Minibatches in one call of the compiled program."""


class Scores(NamedTuple):
    """Both scores of one data set."""

    discriminative: float
    predictive: float


class Goal(NamedTuple):
    """Published scores, and the aim."""

    published: Scores
    target: Scores
    real: float  # predictive score of real data


GOALS = {
    "sines": Goal(Scores(0.011, 0.093), Scores(0.03, 0.095), 0.094),
    "stocks": Goal(Scores(0.102, 0.038), Scores(0.13, 0.038), 0.036),
}

PAPER = {
    "scaling": "none",
    "frame": 1,
    "batch": 128,
    "lr": 1e-3,
    "decay": False,
    "shared": 0.0,
    "average": 0.0,
    "balance": 0.0,
}
"""Settings of the authors' code that differ from the package's defaults."""
TUNED = {
    "sines": {"lr": 3e-3, "average": 0.999, "decay": True},
    "stocks": {"lr": 2e-3, "average": 0.999, "decay": True},
}
"""Settings of the generator `timegan` that differ from the authors'; chosen on seed 100."""


def rounds_of(iterations: int) -> dict[str, int]:
    """Rounds of `ROUND_STEPS` minibatches that make at least so many iterations."""
    return {"rounds": -(-iterations // ROUND_STEPS), "steps": ROUND_STEPS}


def timegan_of_paper(shape: SampleShape, iterations: int, **changes: Any) -> Generator:
    """TimeGAN with the settings of the paper.

    Args:
        shape: shape of the windows.
        iterations: minibatches in each stage.
        changes: settings that differ.
    """
    return timegan(shape, TimeganOptions(**{**PAPER, **rounds_of(iterations), **changes}))


GENERATORS: dict[str, Callable[[SampleShape, int, str], Generator | None]] = {
    "real": lambda *_: None,
    "timegan": lambda shape, iterations, data: timegan_of_paper(shape, iterations, **TUNED[data]),
    "timegan-paper": lambda shape, iterations, _: timegan_of_paper(shape, iterations),
    "diffusion": lambda shape, iterations, _: diffusion(shape, DiffusionOptions(**rounds_of(iterations))),
}
"""Name -> function of a shape, a number of iterations and a data set; None stands for the real windows."""


def sines(count: int = 10_000, seed: int = 0) -> np.ndarray:
    """float32[count, 24, 5]: ``(sin(f t + p) + 1) / 2``, f and p from U(0, .1) for every window and channel.

    Args:
        count: number of windows.
        seed: seed of the draws.
    """
    f, p = np.random.RandomState(seed).uniform(0, 0.1, (2, count, 1, 5))
    return ((np.sin(f * np.arange(LENGTH)[:, None] + p) + 1) / 2).astype(np.float32)


def stocks() -> np.ndarray:
    """float32[3661, 24, 6]: windows of the stock prices and volumes."""
    folder = data_folder("timegan", "stock_data.csv of the authors' code")
    days = np.loadtxt(folder / "stock_data.csv", delimiter=",", skiprows=1)[::-1]
    starts = np.arange(len(days) - LENGTH)
    windows = days[starts[:, None] + np.arange(LENGTH)]
    return scale(windows, *limits(windows)).astype(np.float32)


def limits(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimum and maximum of every channel of ``[N, T, D]``."""
    return windows.min(axis=(0, 1)), windows.max(axis=(0, 1))


def scale(windows: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Scale every channel from [low, high] to [0, 1].

    Args:
        windows: float[N, T, D].
        low: float[D], minimum of each channel.
        high: float[D], maximum of each channel.
    """
    return (windows - low) / (high - low + 1e-7)


DATA: dict[str, Callable[[], np.ndarray]] = {"sines": sines, "stocks": stocks}


def fit_and_sample(generator: Generator, real: np.ndarray, key: jax.Array) -> tuple[np.ndarray, dict[str, float]]:
    """Fit a generator to the real windows, and sample as many synthetic ones.

    Args:
        generator: the generator.
        real: float32[N, T, D].
        key: random key.

    Returns:
        The synthetic windows, and the final loss of each stage.
    """
    low, high = limits(real)
    count = len(real)
    windows = jnp.asarray(scale(real, low, high))
    samples = ClientSamples(windows, jnp.zeros((count, 0)), jnp.zeros(count, jnp.int32), jnp.int32(count))
    fitted, losses = fit_pooled(generator, samples, key)
    sample = jax.jit(generator.sample, static_argnums=3)
    synthetic = sample(fitted, jax.random.fold_in(key, 1000), jnp.int32(0), count)
    return np.asarray(synthetic.x) * (high - low) + low, losses


def evaluate(generator: Generator | None, real: np.ndarray, seed: int, repeats: int) -> dict[str, Any]:
    """Fit a generator, sample from it and score the samples.

    Args:
        generator: the generator; None scores the real windows.
        real: float32[N, T, D].
        seed: seed of the training and of the scores.
        repeats: repeats of the scores.
    """
    began = time.perf_counter()
    key = jax.random.key(seed)
    windows, losses = (real, {}) if generator is None else fit_and_sample(generator, real, key)
    trained = time.perf_counter()
    scores = repeat_scores(real, windows, jax.random.fold_in(key, 2000), repeats)
    seconds = {"train_s": round(trained - began, 1), "score_s": round(time.perf_counter() - trained, 1)}
    return {"seed": seed, "losses": losses} | seconds | scores


def compare(arguments: argparse.Namespace, data: str) -> dict[str, Any]:
    """Evaluate all seeds on one data set, one on each device at a time.

    Args:
        arguments: the command line.
        data: name of the data set.
    """
    real = DATA[data]()
    shape = SampleShape(LENGTH, real.shape[2], 0, ("window",), 1.0)
    generator = GENERATORS[arguments.generator](shape, arguments.iterations, data)
    began = time.perf_counter()

    def evaluate_seed(number: int) -> dict[str, Any]:
        with jax.default_device(jax.devices()[number % len(jax.devices())]):
            return evaluate(generator, real, arguments.first_seed + number, arguments.repeats)

    with ThreadPoolExecutor(len(jax.devices())) as threads:
        runs = list(threads.map(evaluate_seed, range(arguments.seeds)))
    goal = GOALS[data]
    return {
        "windows": list(real.shape),
        "seconds": round(time.perf_counter() - began, 1),
        "runs": runs,
        "mean": {name: float(np.mean([run[name]["mean"] for run in runs])) for name in Scores._fields},
        "published": goal.published._asdict() | {"predictive of real data": goal.real},
        "target": goal.target._asdict(),
        "holds": {
            f"{name} of seed {run['seed']}": run[name]["mean"] <= getattr(goal.target, name)
            for run in runs
            for name in Scores._fields
        },
    }


def machine() -> dict[str, Any]:
    """Platform, cores and version of JAX."""
    return {"platform": platform.platform(), "cores": os.cpu_count(), "jax": jax.__version__}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = result_parser(__doc__, seeds=2, first_seed=0, repeats=REPEATS)
    parser.add_argument("--generator", choices=GENERATORS, default="timegan")
    parser.add_argument("--data", choices=DATA, nargs="+", default=list(DATA))
    parser.add_argument("--iterations", type=int, help=f"minibatches in each stage [default: {ITERATIONS}]")
    arguments = parser.parse_args()
    if arguments.generator == "real" and arguments.iterations is not None:
        parser.error("--generator real trains nothing: leave --iterations out")
    if arguments.generator != "real" and arguments.iterations is None:
        arguments.iterations = ITERATIONS
    return arguments


def main() -> None:
    """Evaluate on the data sets; print the scores, and whether they reach the targets."""
    arguments = parse()
    began = time.perf_counter()
    options = {name: getattr(arguments, name) for name in ("generator", "iterations", "seeds", "first_seed", "repeats")}
    if arguments.generator == "real":
        del options["iterations"]
    found = {data: compare(arguments, data) for data in arguments.data}
    settings = {"settings": {data: TUNED[data] for data in arguments.data}} if arguments.generator == "timegan" else {}
    emit_result(options | settings | {"machine": machine(), "scores": found}, arguments.json, began)


if __name__ == "__main__":
    run_on_two_devices(main)
