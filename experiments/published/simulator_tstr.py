"""The fitted simulator: train on its beats and test on real ones, against training on real ones (TSTR / TRTR).

    python -m experiments.published.simulator_tstr --json experiments/published/results/simulator_tstr.json

Every non-paced MIT-BIH record is a client, and a simulator is fitted to its first minutes alone. A small network is
trained on beats of all clients' simulators, as many of each class as the real training part has. It is tested on the
real beats from five seconds after those minutes on. Three training sets are drawn: ``same``, each client draws as many
beats of each class as it has itself; ``even``, the rare classes are drawn evenly by all clients; ``normal``, as
``even`` but by the rules alone, which use nothing of a client but its N beats. The rules were tuned on DS1 and are
tested on DS2.

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

import bofl_jax as bofl
from bofl_jax import Samples
from bofl_jax.data import DS1, DS2, load
from bofl_jax.models import Cnn1dOptions, Model, build
from bofl_jax.partition import pack
from bofl_jax.synthesis import ClientSamples, Generator, MechanisticOptions, SampleShape, mechanistic
from bofl_jax.synthesis.ecg.mechanistic import FittedEcgModel
from experiments.published.command import emit_result, result_parser, run_on_two_devices
from experiments.published.pooled_training import own_options

GUARD_S = 5.0
BATCH, STEPS, LR, DECAY = 128, 2000, 2e-3, 1e-3
SCALE, NOISE = 0.2, 0.03
NETWORK = Cnn1dOptions(channels=(8, 16, 32), hidden=48, input_stride=2)
GOAL = 0.90


class Beats(NamedTuple):
    """Labelled beats."""

    x: jax.Array  # float32[N, T, 1]
    features: jax.Array  # float32[N, F]
    y: jax.Array  # int32[N]


def select_beats(samples: Samples, rows: np.ndarray) -> Beats:
    """The beats of some rows of the pool.

    Args:
        samples: the pool.
        rows: int[N], rows of the pool.
    """
    return Beats(samples.x[rows], samples.features[rows], samples.y[rows])


def train(model: Model, data: Beats, seed: int) -> Any:
    """Train a network with square-root class weights: AdamW with a cosine rate; beats are scaled, and noise is added.

    Args:
        model: the network.
        data: training beats.
        seed: seed of initial parameters, batches and augmentation.
    """
    counts = np.bincount(data.y, minlength=4)
    weight = np.sqrt(counts.sum() / np.maximum(counts, 1))
    return _train(model, Beats(*map(jnp.asarray, data)), jnp.asarray(weight, jnp.float32), jax.random.key(seed))


@functools.partial(jax.jit, static_argnums=0)
def _train(model: Model, data: Beats, weight: jax.Array, key: jax.Array) -> Any:
    optimizer = optax.adamw(optax.cosine_decay_schedule(LR, STEPS), weight_decay=DECAY)
    params = model.init(jax.random.fold_in(key, STEPS))

    def loss(params: Any, x: jax.Array, features: jax.Array, y: jax.Array) -> jax.Array:
        each = optax.softmax_cross_entropy_with_integer_labels(model.apply(params, x, features), y)
        return jnp.average(each, weights=weight[y])

    def step(state: Any, number: jax.Array) -> tuple[Any, None]:
        params, opt_state = state
        pick, scale, noise = jax.random.split(jax.random.fold_in(key, number), 3)
        rows = jax.random.randint(pick, (BATCH,), 0, len(data.y))
        x = data.x[rows] * jax.random.uniform(scale, (BATCH, 1, 1), minval=1 - SCALE, maxval=1 + SCALE)
        x += NOISE * jax.random.normal(noise, x.shape)
        gradient = jax.grad(loss)(params, x, data.features[rows], data.y[rows])
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    return jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(STEPS))[0][0]


@functools.partial(jax.jit, static_argnums=0)
def predict(model: Model, params: Any, data: Beats) -> jax.Array:
    """int32[N]: the class that the network predicts for each beat.

    Args:
        model: the network.
        params: its parameters.
        data: the beats.
    """

    def predict_beat(sample: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.argmax(model.apply(params, sample[0][None], sample[1][None])[0])

    return jax.lax.map(predict_beat, (data.x, data.features), batch_size=1024)


def scores(predicted: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Macro-F1 over the classes with true beats, recall and precision of each class.

    Args:
        predicted: int[N], predicted classes.
        truth: int[N], true classes.
    """
    matrix = np.zeros((4, 4), int)
    np.add.at(matrix, (truth, predicted), 1)
    hits, support, positives = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    f1 = 2 * hits / np.maximum(support + positives, 1)
    return {
        "macro_f1": float(f1[support > 0].mean()),
        "recall": dict(zip("NSVF", (hits / np.maximum(support, 1)).round(4).tolist(), strict=True)),
        "precision": dict(zip("NSVF", (hits / np.maximum(positives, 1)).round(4).tolist(), strict=True)),
    }


def fit(generator: Generator, samples: Samples, clients: list[np.ndarray]) -> FittedEcgModel:
    """Fit every client's simulator to its own beats: arrays ``[C, ...]``.

    Args:
        generator: the simulator.
        samples: the pool.
        clients: int[n] for each client, its rows of the pool.
    """
    rows = pack(clients)

    @jax.jit
    def all_clients(x: jax.Array, features: jax.Array, y: jax.Array) -> FittedEcgModel:
        def fit_client(row: tuple[jax.Array, jax.Array]) -> FittedEcgModel:
            sample, size = row
            client_samples = ClientSamples(x[sample], features[sample], y[sample], size)
            key = jax.random.key(0)
            return generator.finalize(generator.stages[0].client_update(generator.init(key), client_samples, key)[0])

        return jax.lax.map(fit_client, (rows.sample, rows.size))

    return all_clients(jnp.asarray(samples.x), jnp.asarray(samples.features), jnp.asarray(samples.y))


def amounts_of(counts: np.ndarray, able: np.ndarray, even: bool) -> np.ndarray:
    """int[C, K]: how many beats each client draws; in total as many of each class as there are real ones.

    Args:
        counts: int[C, K], real training beats.
        able: bool[C], the clients whose simulator can draw.
        even: whether rare classes are divided evenly among the clients.
    """
    if not even:
        return np.where(able[:, None], counts, 0)
    amounts = np.zeros_like(counts)
    amounts[able, 0] = counts[able, 0]
    for label in range(1, counts.shape[1]):
        parts = np.array_split(np.arange(counts[:, label].sum()), able.sum())
        amounts[able, label] = [len(part) for part in parts]
    return amounts


def draw_beats(generator: Generator, fitted: FittedEcgModel, amounts: np.ndarray, seed: int) -> Beats:
    """Draw the synthetic training set of all clients.

    Args:
        generator: the simulator.
        fitted: the fitted simulators, arrays ``[C, ...]``.
        amounts: int[C, K], beats that each client draws.
        seed: seed of the draws.
    """
    most = [1 << max(int(amounts[:, label].max()) - 1, 0).bit_length() for label in range(amounts.shape[1])]
    sample = jax.jit(generator.sample, static_argnums=3)
    parts = []
    for client, label in zip(*np.nonzero(amounts), strict=True):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), client), label)
        own = jax.tree.map(lambda leaf, client=client: leaf[client], fitted)
        drawn = jax.device_get(sample(own, key, jnp.int32(label), most[label]))
        n = amounts[client, label]
        parts.append(Beats(drawn.x[:n], drawn.features[:n], np.full(n, label, np.int32)))
    return Beats(*(np.concatenate(part) for part in zip(*parts, strict=True)))


class Protocol(NamedTuple):
    """The records whose first minutes train, and those whose later beats are tested."""

    fitted: tuple[str, ...]
    tested: tuple[str, ...]
    all_minutes: bool = False  # whether all minutes train, not the first ones only


PROTOCOLS = {
    "DS1": Protocol(DS1, DS1),
    "DS2": Protocol(DS2, DS2),
    "all": Protocol(DS1 + DS2, DS1 + DS2),
    "DS1, tested on DS2": Protocol(DS1, DS2),
    "DS1 whole, tested on DS2": Protocol(DS1, DS2, all_minutes=True),
}


def compare(samples: Samples, protocol: Protocol, minutes: float, seeds: int, generator: Generator) -> dict[str, Any]:
    """Scores of the real training set and of the three synthetic ones.

    Args:
        samples: the pool.
        protocol: which records train and which are tested.
        minutes: length of the training part.
        seeds: number of seeds.
        generator: the simulator.
    """
    early, late = samples.time < 60 * minutes, samples.time >= 60 * minutes + GUARD_S
    early |= protocol.all_minutes
    names = np.array(samples.subjects)[samples.subject]
    clients = [np.flatnonzero(early & (names == name)) for name in protocol.fitted]
    counts = np.stack([np.bincount(samples.y[rows], minlength=4) for rows in clients])
    fitted = fit(generator, samples, clients)
    by_rules = fitted._replace(trust=fitted.trust.at[:, 1:].set(0))
    able = counts[:, 0] >= generator.min_samples
    model = build(NETWORK, samples.x.shape[1], 1, samples.features.shape[1], 4)
    tested = select_beats(samples, np.flatnonzero(late & np.isin(names, protocol.tested)))
    sets: dict[str, Callable[[int], Beats]] = {
        "real": lambda _: select_beats(samples, np.concatenate(clients)),
        "same": lambda seed: draw_beats(generator, fitted, amounts_of(counts, able, False), seed),
        "even": lambda seed: draw_beats(generator, fitted, amounts_of(counts, able, True), seed),
        "normal": lambda seed: draw_beats(generator, by_rules, amounts_of(counts, able, True), seed),
    }

    def score(training_set: Callable[[int], Beats], seed: int) -> dict[str, Any]:
        params = train(model, training_set(seed), seed)
        return scores(np.asarray(predict(model, params, tested)), tested.y)

    found = {name: summarise([score(draw, seed) for seed in range(seeds)]) for name, draw in sets.items()}
    return {
        "train": counts.sum(axis=0).tolist(),
        "test": np.bincount(tested.y, minlength=4).tolist(),
        "clients with own beats": (np.asarray(fitted.trust) > 0).sum(axis=0).tolist(),
        "trained on": found,
        "ratio": {name: found[name]["macro_f1"] / found["real"]["macro_f1"] for name in found if name != "real"},
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and the macro-F1 of each seed."""
    return {
        "macro_f1": float(np.mean([row["macro_f1"] for row in rows])),
        "seeds": [round(row["macro_f1"], 4) for row in rows],
        **{
            metric: {name: round(float(np.mean([row[metric][name] for row in rows])), 3) for name in "NSVF"}
            for metric in ("recall", "precision")
        },
    }


def main() -> None:
    """Compare under every protocol; print the scores, and whether they reach the goal."""
    arguments = result_parser(__doc__, minutes=5, seeds=3).parse_args()
    began = time.perf_counter()
    config = bofl.load_config("mitbih")
    samples = load(config.data, config.seed)
    shape = SampleShape(samples.x.shape[1], 1, samples.features.shape[1], samples.classes, samples.fs)
    settings = MechanisticOptions()
    generator = mechanistic(shape, settings)
    table = {
        name: compare(samples, protocol, arguments.minutes, arguments.seeds, generator)
        for name, protocol in PROTOCOLS.items()
    }
    holds = {name: {way: ratio >= GOAL for way, ratio in row["ratio"].items()} for name, row in table.items()}
    result = {"minutes": arguments.minutes, "settings": own_options(settings), "goal": GOAL}
    emit_result(result | {"protocols": table, "reached": holds}, arguments.json, began)


if __name__ == "__main__":
    run_on_two_devices(main)
