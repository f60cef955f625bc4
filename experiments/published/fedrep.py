"""FedRep's linear representation: it finds the shared subspace, averaging one model for all does not.

    python experiments/published/fedrep.py --json experiments/published/results/fedrep.json

Collins, Hassani, Mokhtari and Shakkottai, Exploiting shared representations for personalized federated learning, ICML
2021, figure 2 and the authors' code: y = (V* h_k) . x + noise with V* orthonormal d x k, 100 clients of m samples, all
in every round. FedRep solves for its head exactly and sends a gradient of V; FedSGD averages gradients of one (V, h).
One program: seeds and methods vmapped, rounds scanned.
"""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from common import emit, parse

from bofl_jax import aggregate, algorithms

DIM, RANK, CLIENTS, NOISE = 20, 2, 100, 1e-3
LR, FEDSGD_LR = 0.1, 0.005
SAMPLES = (5, 10, 20)
TOLERANCE = 1e-4


class Problem(NamedTuple):
    """The clients' samples and the truth behind them."""

    x: jax.Array  # float64[n, m, d]
    y: jax.Array  # float64[n, m]
    subspace: jax.Array  # float64[d, k]
    first: jax.Array  # float64[d, k], orthonormal


def draw(seed: int, samples: int) -> Problem:
    """A federation of n clients with m samples each."""
    stream = np.random.RandomState(seed)
    subspace = np.linalg.qr(stream.standard_normal((DIM, RANK)))[0]
    heads = np.linalg.qr(stream.standard_normal((CLIENTS, RANK)))[0]
    heads /= np.linalg.norm(heads, axis=1, keepdims=True)
    x = stream.standard_normal((CLIENTS, samples, DIM)) / np.sqrt(samples)
    y = np.einsum("nmd,dk,nk->nm", x, subspace, heads) + NOISE * stream.standard_normal((CLIENTS, samples))
    first = np.linalg.qr(stream.standard_normal((DIM, RANK)))[0]
    return Problem(*map(jnp.asarray, (x, y, subspace, first)))


def half_squares(body: jax.Array, head: jax.Array, batch: algorithms.Batch) -> jax.Array:
    """Half the summed squared error; inputs stand in ``batch.x``, targets in ``batch.features``."""
    return 0.5 * jnp.sum((batch.x @ body @ head - batch.features) ** 2)


def exact_head() -> algorithms.LocalAlgorithm:
    """FedRep with the best head for the shared body, and one gradient step of the body."""

    def train(shared: Any, kept: Any, data: algorithms.LocalData) -> tuple[Any, Any, algorithms.TrainInfo]:
        del kept
        batch = data.batch(jnp.int32(0), 0)
        head = jnp.linalg.lstsq(batch.x @ shared, batch.features)[0]
        loss, slope = jax.value_and_grad(half_squares)(shared, head, batch)
        return -data.lr * slope, head, algorithms.TrainInfo(loss, jnp.int32(len(batch.y)))

    return algorithms.LocalAlgorithm(lambda *_: jnp.zeros(RANK), train)


def fedsgd() -> algorithms.LocalAlgorithm:
    """One gradient step of body and head, both shared."""

    def train(shared: Any, kept: Any, data: algorithms.LocalData) -> tuple[Any, Any, algorithms.TrainInfo]:
        batch = data.batch(jnp.int32(0), 0)
        loss, slope = jax.value_and_grad(lambda both: half_squares(*both, batch))(shared)
        return jax.tree.map(lambda g: -data.lr * g, slope), kept, algorithms.TrainInfo(loss, jnp.int32(len(batch.y)))

    return algorithms.LocalAlgorithm(algorithms.stateless, train)


def distance(body: jax.Array, truth: jax.Array) -> jax.Array:
    """Squared sine of the largest principal angle between two subspaces."""
    basis = jnp.linalg.qr(body)[0]
    return 1 - jnp.linalg.svd(basis.T @ truth, compute_uv=False)[-1] ** 2


def play(problem: Problem, rounds: int) -> dict[str, jax.Array]:
    """Distances ``[R]`` of both methods before every round."""
    server = aggregate.mean(server_lr=CLIENTS)  # the sum over the clients

    def follow(algorithm, lr, first, body_of):
        def one(shared, x, y):
            batch = algorithms.Batch(x, y, jnp.zeros(len(y), jnp.int32))
            data = algorithms.LocalData(lambda *_: batch, len(y), jnp.int32(1), lr)
            return algorithm.train(shared, (), data)[0]

        def round_(shared, _):
            updates = jax.vmap(one, in_axes=(None, 0, 0))(shared, problem.x, problem.y)
            mean = jax.tree.map(lambda u: u.mean(axis=0), updates)
            _, after = server.step((), shared, aggregate.Mean(mean, jnp.float64(1)))
            return after, distance(body_of(shared), problem.subspace)

        return jax.lax.scan(round_, first, length=rounds)[1]

    both = (problem.first, jnp.ones(RANK) / jnp.sqrt(RANK))
    return {
        "fedrep": follow(exact_head(), LR, problem.first, lambda shared: shared),
        "fedsgd": follow(fedsgd(), FEDSGD_LR, both, lambda shared: shared[0]),
    }


def main() -> None:
    """Run all sizes and seeds; print the distances at the end, and whether they hold."""
    arguments = parse(__doc__, rounds=500, seeds=3)
    began = time.perf_counter()
    jax.config.update("jax_enable_x64", True)  # distances of 1e-7 are below float32's rounding
    table = {}
    for samples in SAMPLES:
        drawn = jax.tree.map(lambda *parts: jnp.stack(parts), *(draw(seed, samples) for seed in range(arguments.seeds)))
        found = jax.device_get(jax.jit(jax.vmap(lambda problem: play(problem, arguments.rounds)))(drawn))
        table[f"m={samples}"] = {
            name: {"last": values[:, -1].tolist(), "curve_of_seed_0": values[0, ::10].tolist()}
            for name, values in found.items()
        }
    holds = {
        size: {
            "fedrep below 1e-4": bool(max(row["fedrep"]["last"]) < TOLERANCE),
            "fedsgd at least .9": bool(min(row["fedsgd"]["last"]) >= 0.9),
        }
        for size, row in table.items()
    }
    result = {"rounds": arguments.rounds, "seeds": arguments.seeds, "squared_sine": table, "holds": holds}
    emit(result, arguments.json, began)


if __name__ == "__main__":
    main()
