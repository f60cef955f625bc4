"""FedProx on Synthetic(0,0), (0.5,0.5), (1,1) and IID, with 0, 50 and 90 % stragglers.

    python experiments/published/fedprox.py --json experiments/published/results/fedprox.json

Li et al., Federated optimization in heterogeneous networks, MLSys 2020, figure 1: softmax regression, 10 of 30
clients a round, 20 epochs of batches of 10. Stragglers do 1 to 19 epochs; FedAvg leaves them out, FedProx takes what
they did (mu = 0: that alone). One program: data sets shared out over the devices, methods vmapped, rounds and clients
scanned.
"""

import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common import accuracy, emit, network, parse, pool_of, split
from jax.sharding import Mesh, PartitionSpec
from synthetic import CLASSES, INPUTS, synthetic

from bofl_jax import aggregate, algorithms
from bofl_jax.partition import ClientIndices

CLIENTS, COHORT, BATCH, EPOCHS, LR, LAST = 30, 10, 10, 20, 0.01, 20
DATA = {"synthetic(0,0)": (0, 0), "synthetic(.5,.5)": (0.5, 0.5), "synthetic(1,1)": (1, 1), "iid": None}


class Entry(NamedTuple):
    """A method at a share of stragglers."""

    mu: float
    stragglers: float
    keep: bool


METHODS = {
    "FedAvg 0 %": Entry(0.0, 0.0, True),
    "mu=1 0 %": Entry(1.0, 0.0, True),
    "FedAvg 50 %": Entry(0.0, 0.5, False),
    "mu=0 50 %": Entry(0.0, 0.5, True),
    "mu=1 50 %": Entry(1.0, 0.5, True),
    "FedAvg 90 %": Entry(0.0, 0.9, False),
    "mu=0 90 %": Entry(0.0, 0.9, True),
    "mu=1 90 %": Entry(1.0, 0.9, True),
}


class Problem(NamedTuple):
    """One data set; all are padded to the same shapes."""

    pool: algorithms.Batch
    train: ClientIndices
    test: jax.Array  # int32[Ntest]
    tests: jax.Array  # float32[Ntest], 1 where a row is real
    key: jax.Array


class Schedule(NamedTuple):
    """Who does how much, the same for all data sets: leaves ``[R, ...]``."""

    cohort: np.ndarray  # int32[R, 10]
    epochs: np.ndarray  # int32[R, methods, 10]; 0: left out


def schedule(rounds: int) -> Schedule:
    """Round t reseeds a generator with t for the cohort and again for those of it who finish."""
    cohort = np.zeros((rounds, COHORT), np.int32)
    epochs = np.zeros((rounds, len(METHODS), COHORT), np.int32)
    for number in range(rounds):
        cohort[number] = np.random.RandomState(number).choice(CLIENTS, COHORT, replace=False)
        for row, entry in enumerate(METHODS.values()):
            stream = np.random.RandomState(number)
            active = stream.choice(cohort[number], round(COHORT * (1 - entry.stragglers)), replace=False)
            late = stream.randint(1, EPOCHS, COHORT) if entry.keep else np.zeros(COHORT, int)
            epochs[number, row] = np.where(np.isin(cohort[number], active), EPOCHS, late)
    return Schedule(cohort, epochs)


def problems(seeds: int) -> Problem:
    """All data sets, one after another: kind by kind, seed by seed; leaves ``[D, ...]``."""
    made = []
    for spread in DATA.values():
        for seed in range(seeds):
            drawn = synthetic(CLIENTS, *(spread or (0, 0)), seed=seed, iid=spread is None)
            pool, rows = pool_of(drawn.x, drawn.y)
            train, test = split(rows, seed)
            made.append((pool, train, test.flat()[0], jax.random.key(seed)))
    samples, longest, tests = (
        max(length(one) for one in made)
        for length in (lambda one: len(one[0].y), lambda one: one[1].sample.shape[1], lambda one: len(one[2]))
    )

    def fill(array: Any, length: int, axis: int = 0) -> np.ndarray:
        widths = [(0, 0)] * np.ndim(array)
        widths[axis] = (0, length - np.shape(array)[axis])
        return np.pad(array, widths)

    def alike(one) -> Problem:
        pool, train, test, key = one
        return Problem(
            algorithms.Batch(*(fill(leaf, samples) for leaf in pool)),
            ClientIndices(fill(train.sample, longest, axis=1), train.size),
            fill(test, tests),
            (np.arange(tests) < len(test)).astype(np.float32),
            key,
        )

    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(alike, made))


def stop_after(steps: jax.Array) -> optax.GradientTransformation:
    """Let updates through ``steps`` times, and none after that."""

    def update(updates, done, params=None):
        del params
        return jax.tree.map(lambda u: jnp.where(done < steps, u, 0.0), updates), done + 1

    return optax.GradientTransformation(lambda _: jnp.int32(0), update)


def play(model, loss, first, plan: Schedule, problem: Problem) -> tuple[jax.Array, jax.Array]:
    """Test accuracy ``[R, methods]`` after every round, and the training loss ``[methods]`` at the end."""
    mu = jnp.asarray([entry.mu for entry in METHODS.values()])
    sampler = algorithms.Sampler(BATCH, "shuffle", 0.0, 0.0)
    server, size = aggregate.mean(), problem.train.size

    def one(params, mu, steps, data):
        """All methods walk through the same batches to the end; one that stops earlier stands still from there."""
        algorithm = algorithms.fedprox(loss, optax.chain(optax.sgd(1.0), stop_after(steps)), mu)
        return algorithm.train(params, (), data)[0]

    def along(values, leaf):
        return jnp.reshape(values, (-1, *(1,) * (leaf.ndim - 1)))

    def round_(params, given):
        number, cohort, epochs = given

        def add(sums, member):
            client, done = member
            key = jax.random.fold_in(jax.random.fold_in(problem.key, number), client)
            of_epoch = -(-size[client] // BATCH)
            work = algorithms.ClientTask(problem.train.sample[client], size[client], EPOCHS * of_epoch, key)
            data = algorithms.local_data(sampler, problem.pool, work, jnp.float32(LR))
            update = jax.vmap(lambda w, m, n: one(w, m, n, data))(params, mu, done * of_epoch)
            weight = jnp.where(done > 0, size[client], 0).astype(jnp.float32)
            return jax.tree.map(lambda s, u: s + along(weight, u) * u, sums, update), weight

        sums, weights = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), (cohort, epochs.T))
        total = weights.sum(axis=0)
        mean = jax.tree.map(lambda s: s / along(jnp.maximum(total, 1), s), sums)
        _, params = server.step((), params, aggregate.Mean(mean, jnp.float32(1)))
        right = jax.vmap(lambda w: accuracy(model, w, problem.pool, problem.test, weight=problem.tests))(params)
        return params, right

    everywhere = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], len(METHODS), axis=0), first)
    params, history = jax.lax.scan(round_, everywhere, (jnp.arange(len(plan.cohort)), plan.cohort, plan.epochs))
    return history, jax.vmap(lambda w: _training_loss(model, w, problem))(params)


def _training_loss(model, params, problem: Problem) -> jax.Array:
    """Mean cross-entropy over all training samples."""

    def of_client(rows, size):
        batch = algorithms.take(problem.pool, rows)
        logits = model.apply(params, batch.x, batch.features)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)
        return jnp.sum(jnp.where(jnp.arange(len(rows)) < size, each, 0))

    return jnp.sum(jax.vmap(of_client)(*problem.train)) / jnp.sum(problem.train.size)


def verdict(accuracy: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """What holds on every data seed, and on how many the published order does."""
    one_one, iid = accuracy["synthetic(1,1)"], accuracy["iid"]
    fedavg, partial, proximal = (np.array(one_one[name]) for name in ("FedAvg 90 %", "mu=0 90 %", "mu=1 90 %"))
    return {
        "holds": {
            "synthetic(1,1), 90 %: mu=1 at least .03 above FedAvg": (proximal >= fedavg + 0.03).tolist(),
            "synthetic(1,1), 90 %: mu=1 above mu=0": (proximal > partial).tolist(),
            "iid: mu=1 below FedAvg": (np.array(iid["mu=1 0 %"]) < np.array(iid["FedAvg 0 %"])).tolist(),
        },
        "data_seeds_in_the_published_order_at_90_percent": {
            kind: sum(
                f < m0 < m1
                for f, m0, m1 in zip(*(rows[name] for name in ("FedAvg 90 %", "mu=0 90 %", "mu=1 90 %")), strict=True)
            )
            for kind, rows in accuracy.items()
            if kind != "iid"
        },
    }


def main() -> None:
    """Run all data sets; print accuracies, and whether the published order holds on every seed."""
    arguments = parse(__doc__, rounds=200, seeds=5)
    began = time.perf_counter()
    model = network(INPUTS, CLASSES)
    loss = algorithms.cross_entropy(model.apply, np.ones(CLASSES, np.float32))
    bound = np.sqrt(6 / (INPUTS + CLASSES))
    weight = np.random.RandomState(123).uniform(-bound, bound, (INPUTS, CLASSES)).astype(np.float32)
    first = {"Dense_0": {"kernel": jnp.asarray(weight), "bias": jnp.zeros(CLASSES)}}
    given, plan = problems(arguments.seeds), schedule(arguments.rounds)
    mesh, each = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=each, out_specs=each, check_vma=False)
    def program(problem: Problem):
        return jax.lax.map(lambda one: play(model, loss, first, plan, one), problem)

    history, losses = map(np.asarray, program(given))
    shape = (len(DATA), arguments.seeds)
    curves = history.reshape(*shape, *history.shape[1:])
    late = curves[:, :, -LAST:].mean(axis=2)
    table = {
        kind: {name: late[k, :, m].astype(float).round(4).tolist() for m, name in enumerate(METHODS)}
        for k, kind in enumerate(DATA)
    }
    emit(
        {
            "rounds": arguments.rounds,
            "data_seeds": arguments.seeds,
            "accuracy": table,
            "training_loss": {
                kind: dict(zip(METHODS, losses.reshape(*shape, -1)[k].T.astype(float).round(3).tolist(), strict=True))
                for k, kind in enumerate(DATA)
            },
            "curves_of_seed_0": {
                kind: {name: curves[k, 0, :, m].astype(float).round(3).tolist() for m, name in enumerate(METHODS)}
                for k, kind in enumerate(DATA)
            },
            **verdict(table),
        },
        arguments.json,
        began,
    )


if __name__ == "__main__":
    main()
