"""The fitted simulator: trained on its beats, tested on real ones, against trained on real ones (TSTR / TRTR).

    python experiments/published/simulator_tstr.py --json experiments/published/results/simulator_tstr.json

Every non-paced MIT-BIH record is a client. The simulator is fitted to its first minutes alone; a small network is
trained on beats of all clients' simulators, as many of a class as the real training part has, and tested on the real
beats from five seconds after those minutes on. Three ways of drawing: ``same``, every client as many of each class as
it has itself; ``even``, the rare classes dealt out evenly over all clients; ``normal``, as ``even`` but by the rules
alone, so that nothing of a client is used but its N beats. The rules were tuned on DS1: DS2 is the test of them.

Esteban, Hyland and Raetsch, Real-valued (medical) time series generation with recurrent conditional GANs, 2017.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common import emit, parse

import bofl_jax as bofl
from bofl_jax.core.errors import in_one_line
from bofl_jax.core.types import Samples
from bofl_jax.data import DS1, DS2, load
from bofl_jax.models import Cnn1dOptions, Model, build
from bofl_jax.partition import pack
from bofl_jax.synthesis.base import Examples, Generator, Shape
from bofl_jax.synthesis.ecg.mechanistic import Heart, MechanisticSettings, mechanistic

GUARD_S = 5.0
BATCH, STEPS, LR, DECAY = 128, 2000, 2e-3, 1e-3
SCALE, NOISE = 0.2, 0.03
NET = Cnn1dOptions(channels=(8, 16, 32), hidden=48, input_stride=2)
GOAL = 0.90


class Beats(NamedTuple):
    """Labelled beats."""

    x: jax.Array  # float32[N, T, 1]
    features: jax.Array  # float32[N, F]
    y: jax.Array  # int32[N]


def beats(samples: Samples, rows: np.ndarray) -> Beats:
    """The beats of these rows."""
    return Beats(samples.x[rows], samples.features[rows], samples.y[rows])


def train(model: Model, data: Beats, seed: int) -> Any:
    """A network trained with square-root class weights: AdamW with a cosine rate, beats scaled and made noisy."""
    counts = np.bincount(data.y, minlength=4)
    weight = np.sqrt(counts.sum() / np.maximum(counts, 1))
    return _train(model, Beats(*map(jnp.asarray, data)), jnp.asarray(weight, jnp.float32), jax.random.key(seed))


@functools.partial(jax.jit, static_argnums=0)
def _train(model: Model, data: Beats, weight: jax.Array, key: jax.Array) -> Any:
    rule = optax.adamw(optax.cosine_decay_schedule(LR, STEPS), weight_decay=DECAY)
    params = model.init(jax.random.fold_in(key, STEPS))

    def loss(params: Any, x: jax.Array, features: jax.Array, y: jax.Array) -> jax.Array:
        each = optax.softmax_cross_entropy_with_integer_labels(model.apply(params, x, features), y)
        return jnp.average(each, weights=weight[y])

    def step(state: Any, number: jax.Array) -> tuple[Any, None]:
        params, memory = state
        pick, scale, noise = jax.random.split(jax.random.fold_in(key, number), 3)
        rows = jax.random.randint(pick, (BATCH,), 0, len(data.y))
        x = data.x[rows] * jax.random.uniform(scale, (BATCH, 1, 1), minval=1 - SCALE, maxval=1 + SCALE)
        x += NOISE * jax.random.normal(noise, x.shape)
        change, memory = rule.update(jax.grad(loss)(params, x, data.features[rows], data.y[rows]), memory, params)
        return (optax.apply_updates(params, change), memory), None

    return jax.lax.scan(step, (params, rule.init(params)), jnp.arange(STEPS))[0][0]


@functools.partial(jax.jit, static_argnums=0)
def answers(model: Model, params: Any, data: Beats) -> jax.Array:
    """int32[N]: the class that the network gives each beat."""

    def one(sample: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.argmax(model.apply(params, sample[0][None], sample[1][None])[0])

    return jax.lax.map(one, (data.x, data.features), batch_size=1024)


def scores(found: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Macro-F1 over the classes that are there, recall and precision of each."""
    matrix = np.zeros((4, 4), int)
    np.add.at(matrix, (truth, found), 1)
    hit, support, called = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    f1 = 2 * hit / np.maximum(support + called, 1)
    return {
        "macro_f1": float(f1[support > 0].mean()),
        "recall": dict(zip("NSVF", (hit / np.maximum(support, 1)).round(4).tolist(), strict=True)),
        "precision": dict(zip("NSVF", (hit / np.maximum(called, 1)).round(4).tolist(), strict=True)),
    }


def fit(generator: Generator, samples: Samples, clients: list[np.ndarray]) -> Heart:
    """Every client's simulator, fitted to its own rows: arrays ``[C, ...]``."""
    rows = pack(clients)

    @jax.jit
    def all_clients(x: jax.Array, features: jax.Array, y: jax.Array) -> Heart:
        def one(row: tuple[jax.Array, jax.Array]) -> Heart:
            sample, size = row
            examples = Examples(x[sample], features[sample], y[sample], size)
            key = jax.random.key(0)
            return generator.finish(generator.stages[0].work(generator.start(key), examples, key)[0])

        return jax.lax.map(one, (rows.sample, rows.size))

    return all_clients(jnp.asarray(samples.x), jnp.asarray(samples.features), jnp.asarray(samples.y))


def dealt(counts: np.ndarray, able: np.ndarray, even: bool) -> np.ndarray:
    """int[C, K]: how many beats every client draws; in all as many of a class as there are real ones."""
    if not even:
        return np.where(able[:, None], counts, 0)
    amounts = np.zeros_like(counts)
    amounts[able, 0] = counts[able, 0]
    for label in range(1, counts.shape[1]):
        parts = np.array_split(np.arange(counts[:, label].sum()), able.sum())
        amounts[able, label] = [len(part) for part in parts]
    return amounts


def draw(generator: Generator, hearts: Heart, amounts: np.ndarray, seed: int) -> Beats:
    """The synthetic training set of all clients."""
    most = [1 << max(int(amounts[:, label].max()) - 1, 0).bit_length() for label in range(amounts.shape[1])]
    sample = jax.jit(generator.sample, static_argnums=3)
    parts = []
    for client, label in zip(*np.nonzero(amounts), strict=True):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), client), label)
        heart = jax.tree.map(lambda leaf, client=client: leaf[client], hearts)
        drawn = jax.device_get(sample(heart, key, jnp.int32(label), most[label]))
        n = amounts[client, label]
        parts.append(Beats(drawn.x[:n], drawn.features[:n], np.full(n, label, np.int32)))
    return Beats(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class Protocol(NamedTuple):
    """Whose first minutes train, and whose later beats test."""

    fitted: tuple[str, ...]
    tested: tuple[str, ...]
    whole: bool = False  # all minutes train


PROTOCOLS = {
    "DS1": Protocol(DS1, DS1),
    "DS2": Protocol(DS2, DS2),
    "all": Protocol(DS1 + DS2, DS1 + DS2),
    "DS1, tested on DS2": Protocol(DS1, DS2),
    "DS1 whole, tested on DS2": Protocol(DS1, DS2, whole=True),
}


def compare(samples: Samples, protocol: Protocol, minutes: float, seeds: int, generator: Generator) -> dict[str, Any]:
    """Scores of the real training set and of the three synthetic ones."""
    early, late = samples.time < 60 * minutes, samples.time >= 60 * minutes + GUARD_S
    early |= protocol.whole
    names = np.array(samples.subjects)[samples.subject]
    clients = [np.flatnonzero(early & (names == name)) for name in protocol.fitted]
    counts = np.stack([np.bincount(samples.y[rows], minlength=4) for rows in clients])
    hearts = fit(generator, samples, clients)
    by_rules = hearts._replace(trust=hearts.trust.at[:, 1:].set(0))
    able = counts[:, 0] >= generator.least
    model = build(NET, samples.x.shape[1], 1, samples.features.shape[1], 4)
    tested = beats(samples, np.flatnonzero(late & np.isin(names, protocol.tested)))
    sets: dict[str, Callable[[int], Beats]] = {
        "real": lambda _: beats(samples, np.concatenate(clients)),
        "same": lambda seed: draw(generator, hearts, dealt(counts, able, False), seed),
        "even": lambda seed: draw(generator, hearts, dealt(counts, able, True), seed),
        "normal": lambda seed: draw(generator, by_rules, dealt(counts, able, True), seed),
    }

    def score(make: Callable[[int], Beats], seed: int) -> dict[str, Any]:
        return scores(np.asarray(answers(model, train(model, make(seed), seed), tested)), tested.y)

    found = {name: summary([score(make, seed) for seed in range(seeds)]) for name, make in sets.items()}
    return {
        "train": counts.sum(axis=0).tolist(),
        "test": np.bincount(tested.y, minlength=4).tolist(),
        "clients with own beats": (np.asarray(hearts.trust) > 0).sum(axis=0).tolist(),
        "trained on": found,
        "ratio": {name: found[name]["macro_f1"] / found["real"]["macro_f1"] for name in found if name != "real"},
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the macro-F1 of each."""
    return {
        "macro_f1": float(np.mean([row["macro_f1"] for row in rows])),
        "seeds": [round(row["macro_f1"], 4) for row in rows],
        **{
            score: {name: round(float(np.mean([row[score][name] for row in rows])), 3) for name in "NSVF"}
            for score in ("recall", "precision")
        },
    }


def main() -> None:
    """Compare in every protocol; print the scores, and whether the goal holds."""
    arguments = parse(__doc__, minutes=5, seeds=3)
    began = time.perf_counter()
    config = bofl.load_config("mitbih")
    samples = load(config.data, config.seed)
    shape = Shape(samples.x.shape[1], 1, samples.features.shape[1], 4, samples.fs)
    settings = MechanisticSettings()
    generator = mechanistic(shape, settings, samples.classes)
    table = {
        name: compare(samples, protocol, arguments.minutes, arguments.seeds, generator)
        for name, protocol in PROTOCOLS.items()
    }
    holds = {name: {way: ratio >= GOAL for way, ratio in row["ratio"].items()} for name, row in table.items()}
    result = {"minutes": arguments.minutes, "settings": settings._asdict(), "goal": GOAL}
    emit(result | {"protocols": table, "reached": holds}, arguments.json, began)


if __name__ == "__main__":
    with in_one_line():
        main()
