"""FCUBE: each of four clients has two octants of a cube that lie opposite each other through its centre.

    python -m experiments.published.fcube --json experiments/published/results/fcube.json

Li, Diao, Chen and He, Federated learning on non-IID data silos: an experimental study, ICDE 2022 (NIID-Bench): 4 000
points uniform in [-1, 1]^3, labelled by the sign of the first coordinate. Every method reaches about 99.8 %. Each
method is one program: rounds are scanned, clients and seeds vmapped.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bofl_jax import aggregate, algorithms
from bofl_jax.partition import ClientIndices
from experiments.published.command import emit_result, result_parser, run_on_two_devices
from experiments.published.federation import accuracy, network, pool_clients

CLIENTS, TRAIN, TEST, BATCH, STEPS, LR, HIDDEN = 4, 4000, 1000, 64, 20, 0.1, (32, 16, 8)
EXPECTED, PUBLISHED = 0.99, 0.998


def cube(seed: int) -> tuple[algorithms.Batch, ClientIndices, np.ndarray]:
    """The pool, the clients' training rows and the test rows."""
    points = np.random.RandomState(seed).uniform(-1, 1, (TRAIN + TEST, 3))
    octant = (points > 0) @ [4, 2, 1]
    client = np.minimum(octant, 7 - octant)[:TRAIN]
    label = (points[:, 0] > 0).astype(int)
    pool, _ = pool_clients([points], [label])
    rows = [np.flatnonzero(client == k) for k in range(CLIENTS)]
    assert max(map(len, rows)) <= TRAIN // 2
    sample = np.stack([np.pad(own, (0, TRAIN // 2 - len(own))) for own in rows]).astype(np.int32)
    return pool, ClientIndices(sample, np.array([len(own) for own in rows], np.int32)), np.arange(TRAIN, TRAIN + TEST)


def methods(loss) -> dict[str, tuple[algorithms.LocalAlgorithm, aggregate.ServerOptimizer]]:
    """The methods that NIID-Bench compares."""
    sgd = optax.sgd(1.0)
    return {
        "fedavg": (algorithms.fedavg(loss, sgd), aggregate.sgd()),
        "fedprox": (algorithms.fedprox(loss, sgd, 0.01), aggregate.sgd()),
        "fednova": (algorithms.fednova(loss, sgd), algorithms.fednova_server()),
        "scaffold": (algorithms.scaffold(loss, sgd), algorithms.scaffold_server()),
    }


def train(algorithm, server, model, rounds: int, pool, rows: ClientIndices, test, key) -> jax.Array:
    """Train all rounds; returns float32[R], the test accuracy after each.

    Args:
        algorithm: the clients' part of the method.
        server: the server's part.
        model: the network.
        rounds: R.
        pool: all samples.
        rows: training rows of each client.
        test: int32[Ntest], test rows.
        key: random key of initial parameters and batches.
    """
    sampler = algorithms.Sampler(BATCH, "replacement", 0.0, 0.0)
    first = model.init(jax.random.fold_in(key, rounds))
    shared = algorithm.initial_shared(first)
    weight = rows.size / jnp.sum(rows.size)

    def client(shared, state, sample, size, key):
        task = algorithms.ClientTask(sample, size, jnp.int32(STEPS), key)
        return algorithm.train(shared, state, algorithms.local_data(sampler, pool, task, jnp.float32(LR)))[:2]

    def one_round(carry, number):
        shared, states = carry
        keys = jax.random.split(jax.random.fold_in(key, number), CLIENTS)
        updates, states = jax.vmap(client, in_axes=(None, 0, 0, 0, 0))(shared, states, *rows, keys)
        mean = jax.tree.map(lambda u: jnp.tensordot(weight, u, axes=1), updates)
        _, shared = server.step((), shared, aggregate.ReducedUpdate(mean, jnp.float32(1)))
        return (shared, states), accuracy(model, algorithm.model(shared), pool, test)

    template = algorithm.init(first, shared)
    states = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], CLIENTS, axis=0), template)
    return jax.lax.scan(one_round, (shared, states), jnp.arange(rounds))[1]


def main() -> None:
    """Print the final accuracy of every method."""
    arguments = result_parser(__doc__, rounds=100, seeds=5).parse_args()
    began = time.perf_counter()
    model = network(3, 2, HIDDEN)
    loss = algorithms.cross_entropy(model.apply, np.ones(2, np.float32))
    drawn = [(*cube(seed), jax.random.key(seed)) for seed in range(arguments.seeds)]
    pool, rows, test, key = jax.tree.map(lambda *parts: jnp.stack(parts), *drawn)
    table = {}
    for name, (algorithm, server) in methods(loss).items():
        program = jax.vmap(lambda *data, a=algorithm, s=server: train(a, s, model, arguments.rounds, *data))
        last = np.asarray(jax.jit(program)(pool, rows, test, key))[:, -1]
        table[name] = {
            "accuracy": last.round(4).tolist(),
            "mean": round(float(last.mean()), 4),
            "published": PUBLISHED,
            "expected": EXPECTED,
            "holds": bool((last >= EXPECTED).all()),
        }
    emit_result({"rounds": arguments.rounds, "seeds": arguments.seeds, "methods": table}, arguments.json, began)


if __name__ == "__main__":
    run_on_two_devices(main)
