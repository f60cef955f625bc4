"""FedProx on Synthetic(0,0), (0.5,0.5), (1,1) and IID, with 0, 50 and 90 % stragglers.

    python -m experiments.published.fedprox --json experiments/published/results/fedprox.json

Li et al., Federated optimization in heterogeneous networks, MLSys 2020, figure 1: softmax regression, 10 of 30 clients
a round, 20 epochs of batches of 10. Stragglers do 1 to 19 epochs. FedAvg drops them; FedProx uses their partial work
(with mu = 0 without the proximal term). All is one program: devices share the data sets, methods are vmapped, rounds
and clients scanned.
"""

import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec

from bofl_jax import aggregate, algorithms
from bofl_jax.partition import ClientIndices
from experiments.published.command import emit_result, result_parser, run_on_two_devices
from experiments.published.federation import accuracy, network, pool_clients, split_clients
from experiments.published.synthetic import CLASSES, INPUTS, draw_federation

CLIENTS, COHORT, BATCH, EPOCHS, LR, LAST = 30, 10, 10, 20, 0.01, 20
DATA = {"synthetic(0,0)": (0, 0), "synthetic(.5,.5)": (0.5, 0.5), "synthetic(1,1)": (1, 1), "iid": None}


class Method(NamedTuple):
    """A method at a share of stragglers."""

    mu: float
    stragglers: float
    uses_partial_work: bool


METHODS = {
    "FedAvg 0 %": Method(0.0, 0.0, True),
    "mu=1 0 %": Method(1.0, 0.0, True),
    "FedAvg 50 %": Method(0.0, 0.5, False),
    "mu=0 50 %": Method(0.0, 0.5, True),
    "mu=1 50 %": Method(1.0, 0.5, True),
    "FedAvg 90 %": Method(0.0, 0.9, False),
    "mu=0 90 %": Method(0.0, 0.9, True),
    "mu=1 90 %": Method(1.0, 0.9, True),
}


class DataSet(NamedTuple):
    """One data set. All data sets are padded to the same shapes."""

    pool: algorithms.Batch
    train: ClientIndices
    test: jax.Array  # int32[Ntest]
    test_weight: jax.Array  # float32[Ntest], 1, or 0 for padding
    key: jax.Array


class Schedule(NamedTuple):
    """The epochs of each client in each round, the same for all data sets."""

    cohort: np.ndarray  # int32[R, 10]
    epochs: np.ndarray  # int32[R, methods, 10]; 0 for dropped clients


def schedule(rounds: int) -> Schedule:
    """Draw all rounds: round t seeds a generator with t for the cohort, and again for the clients that finish."""
    cohort = np.zeros((rounds, COHORT), np.int32)
    epochs = np.zeros((rounds, len(METHODS), COHORT), np.int32)
    for number in range(rounds):
        cohort[number] = np.random.RandomState(number).choice(CLIENTS, COHORT, replace=False)
        for row, method in enumerate(METHODS.values()):
            stream = np.random.RandomState(number)
            active = stream.choice(cohort[number], round(COHORT * (1 - method.stragglers)), replace=False)
            late = stream.randint(1, EPOCHS, COHORT) if method.uses_partial_work else np.zeros(COHORT, int)
            epochs[number, row] = np.where(np.isin(cohort[number], active), EPOCHS, late)
    return Schedule(cohort, epochs)


def data_sets(seeds: int) -> DataSet:
    """All data sets, kind by kind and seed by seed; leaves ``[D, ...]``."""
    unpadded = []
    for spread in DATA.values():
        for seed in range(seeds):
            drawn = draw_federation(CLIENTS, *(spread or (0, 0)), seed=seed, iid=spread is None)
            pool, rows = pool_clients(drawn.x, drawn.y)
            train, test = split_clients(rows, seed)
            unpadded.append((pool, train, test.flat()[0], jax.random.key(seed)))
    samples, longest, tests = (
        max(length(one) for one in unpadded)
        for length in (lambda one: len(one[0].y), lambda one: one[1].sample.shape[1], lambda one: len(one[2]))
    )

    def pad(array: Any, length: int, axis: int = 0) -> np.ndarray:
        widths = [(0, 0)] * np.ndim(array)
        widths[axis] = (0, length - np.shape(array)[axis])
        return np.pad(array, widths)

    def padded(one) -> DataSet:
        pool, train, test, key = one
        return DataSet(
            algorithms.Batch(*(pad(leaf, samples) for leaf in pool)),
            ClientIndices(pad(train.sample, longest, axis=1), train.size),
            pad(test, tests),
            (np.arange(tests) < len(test)).astype(np.float32),
            key,
        )

    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(padded, unpadded))


def stop_after(steps: jax.Array) -> optax.GradientTransformation:
    """Keep the first ``steps`` updates and set later ones to zero."""

    def update(updates, done, params=None):
        del params
        return jax.tree.map(lambda u: jnp.where(done < steps, u, 0.0), updates), done + 1

    return optax.GradientTransformation(lambda _: jnp.int32(0), update)


def train(model, loss, first, plan: Schedule, data_set: DataSet) -> tuple[jax.Array, jax.Array]:
    """Train all methods on one data set.

    Args:
        model: the network.
        loss: loss of one batch.
        first: initial parameters.
        plan: the epochs of each client in each round.
        data_set: the data set.

    Returns:
        float32[R, methods], test accuracy after every round, and float32[methods], the final training loss.
    """
    mu = jnp.asarray([method.mu for method in METHODS.values()])
    sampler = algorithms.Sampler(BATCH, "shuffle", 0.0, 0.0)
    server, size = aggregate.sgd(), data_set.train.size

    def client_update(params, mu, steps, data):
        """All methods go through the same batches; the parameters of one that stops earlier no longer change."""
        algorithm = algorithms.fedprox(loss, optax.chain(optax.sgd(1.0), stop_after(steps)), mu)
        return algorithm.train(params, (), data)[0]

    def expand(values, leaf):
        return jnp.reshape(values, (-1, *(1,) * (leaf.ndim - 1)))

    def one_round(params, inputs):
        number, cohort, epochs = inputs

        def add_client(sums, member):
            client, done = member
            key = jax.random.fold_in(jax.random.fold_in(data_set.key, number), client)
            epoch_steps = -(-size[client] // BATCH)
            task = algorithms.ClientTask(data_set.train.sample[client], size[client], EPOCHS * epoch_steps, key)
            data = algorithms.local_data(sampler, data_set.pool, task, jnp.float32(LR))
            update = jax.vmap(lambda w, m, n: client_update(w, m, n, data))(params, mu, done * epoch_steps)
            weight = jnp.where(done > 0, size[client], 0).astype(jnp.float32)
            return jax.tree.map(lambda s, u: s + expand(weight, u) * u, sums, update), weight

        sums, weights = jax.lax.scan(add_client, jax.tree.map(jnp.zeros_like, params), (cohort, epochs.T))
        total = weights.sum(axis=0)
        mean = jax.tree.map(lambda s: s / expand(jnp.maximum(total, 1), s), sums)
        _, params = server.step((), params, aggregate.ReducedUpdate(mean, jnp.float32(1)))
        correct = jax.vmap(lambda w: accuracy(model, w, data_set.pool, data_set.test, weight=data_set.test_weight))(
            params
        )
        return params, correct

    start = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], len(METHODS), axis=0), first)
    params, history = jax.lax.scan(one_round, start, (jnp.arange(len(plan.cohort)), plan.cohort, plan.epochs))
    return history, jax.vmap(lambda w: _training_loss(model, w, data_set))(params)


def _training_loss(model, params, data_set: DataSet) -> jax.Array:
    """Mean cross-entropy over all training samples."""

    def client_loss(rows, size):
        batch = algorithms.take(data_set.pool, rows)
        logits = model.apply(params, batch.x, batch.features)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)
        return jnp.sum(jnp.where(jnp.arange(len(rows)) < size, each, 0))

    return jnp.sum(jax.vmap(client_loss)(*data_set.train)) / jnp.sum(data_set.train.size)


def verdict(accuracy: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """The claims that hold on every data seed, and on how many seeds the published order holds."""
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
    """Train on all data sets; print accuracies, and whether the published order holds on every seed."""
    arguments = result_parser(__doc__, rounds=200, seeds=5).parse_args()
    began = time.perf_counter()
    model = network(INPUTS, CLASSES)
    loss = algorithms.cross_entropy(model.apply, np.ones(CLASSES, np.float32))
    bound = np.sqrt(6 / (INPUTS + CLASSES))
    weight = np.random.RandomState(123).uniform(-bound, bound, (INPUTS, CLASSES)).astype(np.float32)
    first = {"Dense_0": {"kernel": jnp.asarray(weight), "bias": jnp.zeros(CLASSES)}}
    inputs, plan = data_sets(arguments.seeds), schedule(arguments.rounds)
    mesh, each = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=each, out_specs=each, check_vma=False)
    def program(data_set: DataSet):
        return jax.lax.map(lambda one: train(model, loss, first, plan, one), data_set)

    history, losses = map(np.asarray, program(inputs))
    shape = (len(DATA), arguments.seeds)
    curves = history.reshape(*shape, *history.shape[1:])
    late = curves[:, :, -LAST:].mean(axis=2)
    table = {
        kind: {name: late[k, :, m].astype(float).round(4).tolist() for m, name in enumerate(METHODS)}
        for k, kind in enumerate(DATA)
    }
    emit_result(
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
    run_on_two_devices(main)
