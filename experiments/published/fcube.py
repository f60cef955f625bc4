"""FCUBE: four clients, each with two octants of a cube that lie opposite each other through its centre.

    python experiments/published/fcube.py --json experiments/published/results/fcube.json

Li, Diao, Chen and He, Federated learning on non-IID data silos: an experimental study, ICDE 2022 (NIID-Bench): 4 000
points uniform in [-1, 1]^3, labelled by the sign of the first coordinate; every method reaches about 99.8 %. One
program a method: rounds scanned, clients and seeds vmapped.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common import accuracy, emit, network, parse, pool_of

from bofl_jax import aggregate, algorithms
from bofl_jax.partition import ClientIndices

CLIENTS, TRAIN, TEST, BATCH, STEPS, LR, HIDDEN = 4, 4000, 1000, 64, 20, 0.1, (32, 16, 8)
EXPECTED, PUBLISHED = 0.99, 0.998


def cube(seed: int) -> tuple[algorithms.Batch, ClientIndices, np.ndarray]:
    """The pool, the clients' training rows and the test rows."""
    points = np.random.RandomState(seed).uniform(-1, 1, (TRAIN + TEST, 3))
    octant = (points > 0) @ [4, 2, 1]
    client = np.minimum(octant, 7 - octant)[:TRAIN]
    label = (points[:, 0] > 0).astype(int)
    pool, _ = pool_of([points], [label])
    longest = max(np.bincount(client))
    rows = [np.flatnonzero(client == k) for k in range(CLIENTS)]
    sample = np.stack([np.pad(own, (0, TRAIN // 2 - len(own))) for own in rows]).astype(np.int32)
    assert longest <= TRAIN // 2
    return pool, ClientIndices(sample, np.array([len(own) for own in rows], np.int32)), np.arange(TRAIN, TRAIN + TEST)


def methods(loss) -> dict[str, tuple[algorithms.LocalAlgorithm, aggregate.Aggregator]]:
    """Those that NIID-Bench compares."""
    sgd = optax.sgd(1.0)
    return {
        "fedavg": (algorithms.fedavg(loss, sgd), aggregate.mean()),
        "fedprox": (algorithms.fedprox(loss, sgd, 0.01), aggregate.mean()),
        "fednova": (algorithms.fednova(loss, sgd), aggregate.nova()),
        "scaffold": (algorithms.scaffold(loss, sgd), aggregate.scaffold()),
    }


def play(algorithm, server, model, rounds: int, pool, rows: ClientIndices, test, key) -> jax.Array:
    """Test accuracy after every round: ``[R]``."""
    sampler = algorithms.Sampler(BATCH, "replacement", 0.0, 0.0)
    first = model.init(jax.random.fold_in(key, rounds))
    shared = algorithm.share(first)
    weight = rows.size / jnp.sum(rows.size)

    def one(shared, kept, sample, size, key):
        work = algorithms.ClientTask(sample, size, jnp.int32(STEPS), key)
        return algorithm.train(shared, kept, algorithms.local_data(sampler, pool, work, jnp.float32(LR)))[:2]

    def round_(carry, number):
        shared, kept = carry
        keys = jax.random.split(jax.random.fold_in(key, number), CLIENTS)
        updates, kept = jax.vmap(one, in_axes=(None, 0, 0, 0, 0))(shared, kept, *rows, keys)
        mean = jax.tree.map(lambda u: jnp.tensordot(weight, u, axes=1), updates)
        _, shared = server.step((), shared, aggregate.Mean(mean, jnp.float32(1)))
        return (shared, kept), accuracy(model, algorithm.model(shared), pool, test)

    template = algorithm.init(first, shared)
    kept = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], CLIENTS, axis=0), template)
    return jax.lax.scan(round_, (shared, kept), jnp.arange(rounds))[1]


def main() -> None:
    """Print every method's accuracy at the end."""
    arguments = parse(__doc__, rounds=100, seeds=5)
    began = time.perf_counter()
    model = network(3, 2, HIDDEN)
    loss = algorithms.cross_entropy(model.apply, np.ones(2, np.float32))
    drawn = [(*cube(seed), jax.random.key(seed)) for seed in range(arguments.seeds)]
    pool, rows, test, key = jax.tree.map(lambda *parts: jnp.stack(parts), *drawn)
    table = {}
    for name, (algorithm, server) in methods(loss).items():
        program = jax.vmap(lambda *given, a=algorithm, s=server: play(a, s, model, arguments.rounds, *given))
        last = np.asarray(jax.jit(program)(pool, rows, test, key))[:, -1]
        table[name] = {
            "accuracy": last.round(4).tolist(),
            "mean": round(float(last.mean()), 4),
            "published": PUBLISHED,
            "expected": EXPECTED,
            "holds": bool((last >= EXPECTED).all()),
        }
    emit({"rounds": arguments.rounds, "seeds": arguments.seeds, "methods": table}, arguments.json, began)


if __name__ == "__main__":
    main()
