"""TimeGAN on Sines and Stocks: can a GRU tell its windows from real ones, and learn from them to predict real ones?

    python experiments/published/timegan.py --data stocks --json experiments/published/results/timegan_stocks.json

Yoon, Jarrett and van der Schaar, Time-series generative adversarial networks, NeurIPS 2019, table 2 and the authors'
code: windows of 24 steps; Sines, 10 000 windows of five sines of random frequency and phase; Stocks, Google's daily
prices and volume, each column brought to [0, 1], the days in the code's order (it turns the file around, which already
began with the oldest day), a window at every day. Generators see each channel brought to [0, 1] once more, as in the
code. As many windows are drawn as there are real ones; both scores (see `timegan_scores`) are means of ten repeats.
Published figures are those of Yuan and Qiao, Diffusion-TS, ICLR 2024.
`--generator real` scores the real windows themselves: nothing drawn can be expected to do better.

Seeds train side by side, one on each of two cores.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from common import data_folder, emit
from pooled import fitted
from timegan_scores import REPEATS, repeated

from bofl_jax.synthesis.base import Examples, Generator, Shape
from bofl_jax.synthesis.generators.diffusion import DiffusionSettings, diffusion
from bofl_jax.synthesis.generators.timegan import TimeganSettings, timegan

LENGTH = 24
ITERATIONS = 10_000
"""Minibatches in each phase of a generator, unless told otherwise."""
ROUND = 100
"""Minibatches in one call of the compiled program."""


class Scores(NamedTuple):
    """Of a data set."""

    discriminative: float
    predictive: float


class Goal(NamedTuple):
    """What others found, and what is to be reached."""

    published: Scores
    target: Scores
    real: float  # predictive score of real data


GOALS = {
    "sines": Goal(Scores(0.011, 0.093), Scores(0.03, 0.095), 0.094),
    "stocks": Goal(Scores(0.102, 0.038), Scores(0.13, 0.038), 0.036),
}

TUNED = {
    "sines": {"lr": 3e-3, "average": 0.999, "decay": True},
    "stocks": {"lr": 2e-3, "average": 0.999, "decay": True},
}
"""What differs from the authors' settings, in the generator that is called `timegan`; chosen on seed 100."""


def paper(shape: Shape, iterations: int, **changes: Any) -> Generator:
    """TimeGAN with so many iterations a phase."""
    return timegan(
        shape, TimeganSettings(scaling="none", rounds=-(-iterations // ROUND), steps=ROUND)._replace(**changes)
    )


GENERATORS: dict[str, Callable[[Shape, int, str], Generator | None]] = {
    "real": lambda *_: None,
    "timegan": lambda shape, iterations, data: paper(shape, iterations, **TUNED[data]),
    "timegan-paper": lambda shape, iterations, _: paper(shape, iterations),
    "diffusion": lambda shape, iterations, _: diffusion(
        shape, DiffusionSettings(rounds=-(-iterations // ROUND), steps=ROUND)
    ),
}
"""Name -> what builds it for a shape, a number of iterations and a data set; None stands for the real windows."""


def sines(count: int = 10_000, seed: int = 0) -> np.ndarray:
    """float32[count, 24, 5]: ``(sin(f t + p) + 1) / 2``, f and p from U(0, .1) for every window and channel."""
    f, p = np.random.RandomState(seed).uniform(0, 0.1, (2, count, 1, 5))
    return ((np.sin(f * np.arange(LENGTH)[:, None] + p) + 1) / 2).astype(np.float32)


def stocks() -> np.ndarray:
    """float32[3661, 24, 6]."""
    folder = data_folder("timegan", "stock_data.csv of the authors' code")
    days = np.loadtxt(folder / "stock_data.csv", delimiter=",", skiprows=1)[::-1]
    starts = np.arange(len(days) - LENGTH)
    windows = days[starts[:, None] + np.arange(LENGTH)]
    return stretched(windows, *limits(windows)).astype(np.float32)


def limits(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The extremes of every channel of ``[N, T, D]``."""
    return windows.min(axis=(0, 1)), windows.max(axis=(0, 1))


def stretched(windows: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Every channel brought to [0, 1]."""
    return (windows - least) / (most - least + 1e-7)


DATA: dict[str, Callable[[], np.ndarray]] = {"sines": sines, "stocks": stocks}


def drawn(generator: Generator, real: np.ndarray, key: jax.Array) -> tuple[np.ndarray, dict[str, float]]:
    """As many windows as there are real ones, of a generator fitted to these; and its losses."""
    least, most = limits(real)
    count = len(real)
    windows = jnp.asarray(stretched(real, least, most))
    examples = Examples(windows, jnp.zeros((count, 0)), jnp.zeros(count, jnp.int32), jnp.int32(count))
    artist, losses = fitted(generator, examples, key)
    sample = jax.jit(generator.sample, static_argnums=3)
    made = sample(artist, jax.random.fold_in(key, 1000), jnp.int32(0), count)
    return np.asarray(made.x) * (most - least) + least, losses


def attempt(generator: Generator | None, real: np.ndarray, seed: int, repeats: int) -> dict[str, Any]:
    """Train, draw and score."""
    began = time.perf_counter()
    key = jax.random.key(seed)
    made, losses = (real, {}) if generator is None else drawn(generator, real, key)
    trained = time.perf_counter()
    scores = repeated(real, made, jax.random.fold_in(key, 2000), repeats)
    seconds = {"train_s": round(trained - began, 1), "score_s": round(time.perf_counter() - trained, 1)}
    return {"seed": seed, "losses": losses} | seconds | scores


def compare(arguments: argparse.Namespace, data: str) -> dict[str, Any]:
    """All seeds on one data set, and whether each reaches the targets."""
    real = DATA[data]()
    shape = Shape(LENGTH, real.shape[2], 0, 1, 1.0)
    generator = GENERATORS[arguments.generator](shape, arguments.iterations, data)
    began = time.perf_counter()

    def one(place: int) -> dict[str, Any]:
        with jax.default_device(jax.devices()[place % len(jax.devices())]):
            return attempt(generator, real, arguments.first_seed + place, arguments.repeats)

    with ThreadPoolExecutor(len(jax.devices())) as threads:
        runs = list(threads.map(one, range(arguments.seeds)))
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
    """What it ran on."""
    return {"platform": platform.platform(), "cores": os.cpu_count(), "jax": jax.__version__}


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the result here; it is printed too")
    parser.add_argument("--generator", choices=GENERATORS, default="timegan")
    parser.add_argument("--data", choices=DATA, nargs="+", default=list(DATA))
    parser.add_argument("--iterations", type=int, help=f"minibatches a phase [default: {ITERATIONS}]")
    for name, default in {"seeds": 2, "first-seed": 0, "repeats": REPEATS}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    if arguments.generator == "real" and arguments.iterations is not None:
        parser.error("--generator real trains nothing: leave --iterations out")
    if arguments.generator != "real" and arguments.iterations is None:
        arguments.iterations = ITERATIONS
    return arguments


def main() -> None:
    """Compare on the data sets; print the scores, and whether they hold."""
    arguments = parse()
    began = time.perf_counter()
    asked = {name: getattr(arguments, name) for name in ("generator", "iterations", "seeds", "first_seed", "repeats")}
    if arguments.generator == "real":
        del asked["iterations"]
    found = {data: compare(arguments, data) for data in arguments.data}
    settings = {"settings": {data: TUNED[data] for data in arguments.data}} if arguments.generator == "timegan" else {}
    emit(asked | settings | {"machine": machine(), "scores": found}, arguments.json, began)


if __name__ == "__main__":
    main()
